"""From `TaskData` to `Solution`: the alternating optimisation."""

from skmtl.solvers.alternating import Prepared, prepare, solve, solve_prepared
from skmtl.solvers.compression import Moments, complete_moments, is_complete_squared
from skmtl.solvers.formulation import formulate
from skmtl.solvers.merging import merge_solutions
from skmtl.solvers.new_tasks import fit_factors
from skmtl.solvers.solution import Convergence, Solution

__all__ = [
    "Convergence",
    "Moments",
    "Prepared",
    "Solution",
    "complete_moments",
    "fit_factors",
    "formulate",
    "is_complete_squared",
    "merge_solutions",
    "prepare",
    "solve",
    "solve_prepared",
]
