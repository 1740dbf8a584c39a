"""What every test shares: no window is opened, and hypothesis draws the same examples every time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"

# For benchmarks/, which is no part of the package; last, so that an installed skmtl is the one that is tested.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# A test that fails must fail again, and a slow machine is no failure.
settings.register_profile("skmtl", derandomize=True, deadline=None, database=None)
settings.load_profile("skmtl")
