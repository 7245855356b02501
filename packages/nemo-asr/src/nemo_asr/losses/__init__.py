"""Losses of speech recognition."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.losses.angular import AngularSoftmaxLoss as AngularSoftmaxLoss
    from nemo_asr.losses.ctc import CTCLoss as CTCLoss
    from nemo_asr.losses.rnnt import MultiblankRNNTLoss as MultiblankRNNTLoss
    from nemo_asr.losses.rnnt import RNNTLoss as RNNTLoss
    from nemo_asr.losses.rnnt import TDTLoss as TDTLoss

__getattr__, __dir__ = attach(__name__)
