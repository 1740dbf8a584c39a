"""Pictures, as scikit-learn's Displays: made from an estimator or a result, drawn by matplotlib."""

from skmtl.displays.affinity import AffinityDisplay
from skmtl.displays.basis import BasisDisplay
from skmtl.displays.path import PathDisplay
from skmtl.displays.transfer import TransferCurveDisplay, TransferDisplay

__all__ = ["AffinityDisplay", "BasisDisplay", "PathDisplay", "TransferCurveDisplay", "TransferDisplay"]
