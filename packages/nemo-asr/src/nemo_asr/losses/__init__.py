"""Losses of speech recognition."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_asr.losses.ctc import CTCLoss as CTCLoss

__getattr__, __dir__ = attach(__name__)
