"""Losses of speech recognition."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.losses.angular import AngularSoftmaxLoss as AngularSoftmaxLoss
    from nemo_asr.losses.ctc import CTCLoss as CTCLoss
    from nemo_asr.losses.rnnt import MultiblankRNNTLoss as MultiblankRNNTLoss
    from nemo_asr.losses.rnnt import RNNTLoss as RNNTLoss
    from nemo_asr.losses.rnnt import TDTLoss as TDTLoss
    from nemo_asr.losses.smoothed_cross_entropy import SmoothedCrossEntropyLoss as SmoothedCrossEntropyLoss

__getattr__, __dir__ = attach(__name__)
