"""Multimodal models."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_mm.models.contrastive import ContrastiveModel as ContrastiveModel

__getattr__, __dir__ = attach(__name__)
