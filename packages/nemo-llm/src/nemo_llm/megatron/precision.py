"""Lightning's precision plugin for the engine, which does by itself what such a plugin does elsewhere."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.plugins.precision import Precision
from torch import Tensor

__all__ = ["MegatronPrecision"]


class MegatronPrecision(Precision):
    """Leaves module, backward pass and clipping to the engine.

    Args:
        precision: Lightning's name of the precision, such as ``bf16-mixed``.
    """

    def __init__(self, precision: str = "32-true") -> None:
        super().__init__()
        self.precision: Any = precision

    def backward(self, tensor: Tensor, model: Any, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing is left to do: the schedule has run the backward pass."""

    def clip_gradients(self, optimizer: Any, clip_val: Any = 0.0, gradient_clip_algorithm: Any = None) -> None:
        """Nothing is left to do: the engine's optimizer clips by the norm over all processes."""
