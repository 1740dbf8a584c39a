"""From `TaskData` to `Solution`: the alternating optimisation."""

from skmtl.solvers.alternating import Prepared, prepare, solve, solve_prepared
from skmtl.solvers.compression import Moments, complete_moments, is_complete_squared
from skmtl.solvers.feature_units import feature_units, in_units, out_of_units, start_in_units
from skmtl.solvers.formulation import formulate
from skmtl.solvers.joint_fit import Strengths, fit_jointly, with_learned_prior, with_noise
from skmtl.solvers.merging import merge_noise, merge_solutions, merge_spread
from skmtl.solvers.new_tasks import fit_factors, fit_new_tasks
from skmtl.solvers.noise_level import alpha_of_noise
from skmtl.solvers.predictive import standard_deviations
from skmtl.solvers.relevance import feature_scales, in_given_features, in_scaled_features, scaled_data
from skmtl.solvers.solution import Convergence, Noise, Solution
from skmtl.solvers.task_moments import TaskMoments, has_long_tasks, task_moments
from skmtl.solvers.task_sums import squared_errors

__all__ = [
    "Convergence",
    "Moments",
    "Noise",
    "Prepared",
    "Solution",
    "Strengths",
    "TaskMoments",
    "alpha_of_noise",
    "complete_moments",
    "feature_scales",
    "feature_units",
    "fit_factors",
    "fit_jointly",
    "fit_new_tasks",
    "formulate",
    "has_long_tasks",
    "in_given_features",
    "in_scaled_features",
    "in_units",
    "is_complete_squared",
    "merge_noise",
    "merge_solutions",
    "merge_spread",
    "out_of_units",
    "prepare",
    "scaled_data",
    "solve",
    "solve_prepared",
    "squared_errors",
    "standard_deviations",
    "start_in_units",
    "task_moments",
    "with_learned_prior",
    "with_noise",
]
