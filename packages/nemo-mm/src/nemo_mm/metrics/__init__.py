"""Measures of multimodal models."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_mm.metrics.retrieval import EmbeddingScores as EmbeddingScores
    from nemo_mm.metrics.retrieval import recall_at as recall_at

__getattr__, __dir__ = attach(__name__)
