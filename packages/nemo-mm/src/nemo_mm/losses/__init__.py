"""Losses of multimodal models."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_mm.losses.contrastive import ContrastiveLoss as ContrastiveLoss
    from nemo_mm.losses.contrastive import SigmoidLoss as SigmoidLoss
    from nemo_mm.losses.contrastive import SoftmaxLoss as SoftmaxLoss

__getattr__, __dir__ = attach(__name__)
