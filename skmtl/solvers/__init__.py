"""From `TaskData` to `Solution`: the alternating optimisation."""

from skmtl.solvers.alternating import fit_factors, solve
from skmtl.solvers.solution import Convergence, Solution

__all__ = ["Convergence", "Solution", "fit_factors", "solve"]
