"""Does learning together help, and which tasks? Joint, separate and pooled models on the same held-out rows."""

from skmtl.transfer.curve import TransferCurve, transfer_curve
from skmtl.transfer.report import transfer_report
from skmtl.transfer.results import TransferReport

__all__ = ["TransferCurve", "TransferReport", "transfer_curve", "transfer_report"]
