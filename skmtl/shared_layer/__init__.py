"""A hidden layer that all tasks share: networks trained on folds, averaged, and compared with the linear model."""

from skmtl.shared_layer.comparison import LinearCandidate, network_results, residual_scales, wins
from skmtl.shared_layer.ensemble import NetworkSolution, add_heads, average, with_heads
from skmtl.shared_layer.folds import NetworkFold, NetworkOptions
from skmtl.shared_layer.predictors import make_networks
from skmtl.shared_layer.search import MEAN_SHARE, Evaluation, Outcome, natural_unit, search
from skmtl.shared_layer.standardised import StandardisedFeatures

__all__ = [
    "MEAN_SHARE",
    "Evaluation",
    "LinearCandidate",
    "NetworkFold",
    "NetworkOptions",
    "NetworkSolution",
    "Outcome",
    "StandardisedFeatures",
    "add_heads",
    "average",
    "make_networks",
    "natural_unit",
    "network_results",
    "residual_scales",
    "search",
    "wins",
    "with_heads",
]
