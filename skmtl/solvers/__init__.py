"""From `TaskData` to `Solution`: the alternating optimisation."""

from skmtl.solvers.alternating import solve
from skmtl.solvers.new_tasks import fit_factors
from skmtl.solvers.solution import Convergence, Solution

__all__ = ["Convergence", "Solution", "fit_factors", "solve"]
