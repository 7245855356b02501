"""Convolution over time of batches whose channels come last."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["TimeConv"]


class TimeConv(nn.Module):
    """One-dimensional convolution of stride 1 that keeps the length, (B, T, C) to (B, T, C').

    It computes what :class:`torch.nn.Conv1d` does with ``padding=kernel_size // 2``, of the same weights (C', C, K). On
    a CPU that is one matrix product over overlapping windows, which need no copy since the channels come last: faster
    than a convolution, forward and backward.

    Args:
        channels: C.
        out_channels: C'.
        kernel_size: K, odd.

    Example:
        >>> conv = TimeConv(3, 5, kernel_size=3)
        >>> x = torch.randn(2, 7, 3)
        >>> there = F.conv1d(x.transpose(1, 2), conv.weight, conv.bias, padding=1).transpose(1, 2)
        >>> torch.allclose(conv(x), there, atol=1e-6)
        True
    """

    def __init__(self, channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        # In memory the weight is (C', K, C), as windows are, and only seen as (C', C, K).
        self.weight = nn.Parameter(torch.empty(out_channels, kernel_size, channels).transpose(1, 2))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.kernel_size = kernel_size
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights as :class:`torch.nn.Conv1d` does."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        bound = 1 / math.sqrt(self.weight[0].numel())
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, T, C') of ``x`` (B, T, C)."""
        if self.kernel_size == 1:
            return F.linear(x, self.weight.squeeze(2), self.bias)
        if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
            return F.conv1d(x.transpose(1, 2), self.weight, self.bias, padding=self.kernel_size // 2).transpose(1, 2)
        convolved: Tensor = _WindowedProduct.apply(x, self.weight, self.bias)
        return convolved


class _WindowedProduct(torch.autograd.Function):
    """The convolution and its gradients, each as a product with the matrix of windows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        windows = _windows(_padded(x, weight.shape[2]), weight.shape[2])
        return _per_utterance(torch.addmm(bias, windows, _flat(weight).t()), x, weight.shape[2])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        out, channels, kernel = weight.shape
        wanted_x, wanted_weight, wanted_bias = ctx.needs_input_grad
        padded = _padded(grad, kernel)
        grad_x = grad_weight = None
        if wanted_x:
            # The gradient of a convolution is one with the kernel turned around.
            turned = weight.flip(2).permute(1, 2, 0).reshape(channels, kernel * out)
            grad_x = _per_utterance(_windows(padded, kernel) @ turned.t(), x, kernel)
        if wanted_weight:
            windows = _windows(_padded(x, kernel), kernel)
            rows = padded.flatten(0, 1)[kernel // 2 :][: len(windows)]
            grad_weight = (rows.t() @ windows).view(out, kernel, channels).transpose(1, 2)
        return grad_x, grad_weight, grad.sum((0, 1)) if wanted_bias else None


def _flat(weight: Tensor) -> Tensor:
    return weight.transpose(1, 2).reshape(weight.shape[0], -1)


def _padded(x: Tensor, kernel: int) -> Tensor:
    return F.pad(x, (0, 0, kernel // 2, kernel // 2)).contiguous()


def _windows(padded: Tensor, kernel: int) -> Tensor:
    """Return the windows of the whole batch as rows, without a copy.

    Between two utterances there are ``kernel - 1`` rows that belong to neither.
    """
    batch, steps, channels = padded.shape
    return padded.as_strided((batch * steps - kernel + 1, kernel * channels), (channels, 1))


def _per_utterance(rows: Tensor, x: Tensor, kernel: int) -> Tensor:
    """Return the rows that belong to utterances, (B, T, C)."""
    batch, steps, _ = x.shape
    channels = rows.shape[1]
    return rows.as_strided((batch, steps, channels), ((steps + kernel - 1) * channels, channels, 1))
