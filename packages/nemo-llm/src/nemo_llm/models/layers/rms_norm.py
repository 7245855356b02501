"""Root-mean-square norm (Zhang and Sennrich, 2019, arXiv:1910.07467), forwards and backwards in few passes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nemo_llm.models.layers.linear import full

__all__ = ["rms_norm"]


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, plus_one: bool) -> Tensor:
        rows = full(x.reshape(-1, x.shape[-1]))
        inverse = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        inverse.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        ctx.plus_one = plus_one
        return (rows * inverse).mul_(_wide(weight, plus_one)).to(x.dtype).view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight, inverse = ctx.saved_tensors
        size = x.shape[-1]
        rows, grad = full(x.reshape(-1, size)), full(grad.reshape(-1, size))
        wide = _wide(weight, ctx.plus_one)
        both = rows * grad
        dweight = torch.mv(both.t(), inverse[:, 0])
        # Each row loses its part along itself.
        along = torch.mv(both, wide)[:, None] * inverse.pow(3) / size
        dx = torch.mul(grad, wide, out=both).mul_(inverse).addcmul_(rows, along, value=-1.0)
        return dx.to(x.dtype).view_as(x), dweight.to(weight.dtype), None, None


def _wide(weight: Tensor, plus_one: bool) -> Tensor:
    return full(weight) + 1.0 if plus_one else full(weight)


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5, *, plus_one: bool = False) -> Tensor:
    """Normalise by the root of the mean of squares; in float32 to the end, rounded once.

    Args:
        x: ``(..., D)``.
        weight: ``(D,)``, what normalised values are multiplied by.
        eps: Added to the mean of squares.
        plus_one: Whether they are multiplied by ``1 + weight``.

    >>> rms_norm(torch.tensor([4.0, -4.0]), torch.tensor([1.0, 2.0]), eps=0.0).round(decimals=4).tolist()
    [1.0, -2.0]
    """
    # The engine adds residuals with gradients enabled even in inference mode, where a function may save nothing.
    with torch.set_grad_enabled(torch.is_grad_enabled() and not torch.is_inference_mode_enabled()):
        return _RMSNorm.apply(x, weight, eps, plus_one)
