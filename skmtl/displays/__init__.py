"""Pictures, as scikit-learn's Displays: made from an estimator or a report, drawn by matplotlib."""

from skmtl.displays.transfer import TransferCurveDisplay, TransferDisplay

__all__ = ["TransferCurveDisplay", "TransferDisplay"]
