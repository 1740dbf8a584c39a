"""Rank and strengths by cross-validation: candidates, their fits on the folds, and the search among them."""

from skmtl.tuning.candidates import Candidate, Space, as_values
from skmtl.tuning.evaluation import Evaluation, Outcome, Scorer
from skmtl.tuning.folds import FitOptions, make_folds
from skmtl.tuning.guard import harmed_tasks, held_out_gains
from skmtl.tuning.marginal_likelihood import has_evidence, outsiders
from skmtl.tuning.prior_share import prior_share
from skmtl.tuning.results import choose, cv_results
from skmtl.tuning.scales import Scales, moderated_scales, natural_scales
from skmtl.tuning.search import at_weak_end, search, search_near

__all__ = [
    "Candidate",
    "Evaluation",
    "FitOptions",
    "Outcome",
    "Scales",
    "Scorer",
    "Space",
    "as_values",
    "at_weak_end",
    "choose",
    "cv_results",
    "harmed_tasks",
    "has_evidence",
    "held_out_gains",
    "make_folds",
    "moderated_scales",
    "natural_scales",
    "outsiders",
    "prior_share",
    "search",
    "search_near",
]
