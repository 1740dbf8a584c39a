"""What every test shares: no window is opened, hypothesis draws the same examples every time, and of several workers
each has one thread."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"

if "PYTEST_XDIST_WORKER" in os.environ:  # before NumPy is imported, which is when its BLAS counts processors
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# For benchmarks/, which is no part of the package; last, so that an installed skmtl is the one that is tested.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# A test that fails must fail again, and a slow machine is no failure.
settings.register_profile("skmtl", derandomize=True, deadline=None, database=None)
settings.load_profile("skmtl")
