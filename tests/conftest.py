"""What every test shares: no window is opened, and hypothesis draws the same examples every time."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"

# A test that fails must fail again, and a slow machine is no failure.
settings.register_profile("skmtl", derandomize=True, deadline=None, database=None)
settings.load_profile("skmtl")
