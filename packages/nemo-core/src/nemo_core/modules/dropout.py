"""Dropout that costs a third of torch's on a CPU, and a quarter of its memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Dropout", "dropout"]

# Random numbers of 16 bits: of a probability they leave an error below 1 / 2**17, which the scaling takes into account.
_LEVELS = 1 << 16


class Dropout(nn.Dropout):
    """:class:`torch.nn.Dropout`, by way of :func:`dropout`.

    Example:
        >>> Dropout(0.5).eval()(torch.ones(3))
        tensor([1., 1., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with some of it dropped."""
        return dropout(x, self.p, self.training)


def dropout(x: Tensor, probability: float, training: bool = True) -> Tensor:
    """Return ``x`` with each element zero with ``probability`` and the others scaled so that the mean stays.

    On a CPU torch draws the elements one by one, in double precision; here each random number of 64 bits serves four,
    and what is kept for the backward pass is a byte for each. Elsewhere this is torch's own.

    Args:
        x: Of any shape.
        probability: Of an element to be dropped.
        training: If not, nothing is dropped.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> dropped = dropout(torch.ones(1000), 0.1)
        >>> sorted({round(value, 2) for value in dropped.tolist()})
        [0.0, 1.11]
    """
    threshold = round(probability * _LEVELS)
    ours = x.device.type == "cpu" and training and 0 < threshold < _LEVELS and not torch.compiler.is_compiling()
    if not ours:
        return nn.functional.dropout(x, probability, training)
    dropped: Tensor = _Dropout.apply(x, threshold)  # type: ignore[no-untyped-call]
    return dropped


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        kept = (words.view(torch.int16)[: x.numel()] >= threshold - _LEVELS // 2).view(x.shape)
        ctx.save_for_backward(kept)
        ctx.scale = _LEVELS / (_LEVELS - threshold)
        return kept.to(x.dtype).mul_(ctx.scale).mul_(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return kept.to(grad.dtype).mul_(ctx.scale) * grad, None
