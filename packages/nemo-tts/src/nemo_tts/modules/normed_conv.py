"""Convolutions over time with weight normalisation, as vocoders use them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["NormedConv", "NormedConvTranspose", "as_picture"]

_Size = tuple[int, int]


def as_picture(x: Tensor) -> Tensor:
    """Return ``x`` (B, C, T) as (B, C, 1, T), on a CPU with the channels last in memory.

    There two-dimensional convolutions over such a layout are faster than one-dimensional ones, and transposed ones
    several times so.
    """
    x = x.unsqueeze(2)
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x


class _Normed(nn.Module):
    """A weight as direction and length (Salimans & Kingma, NeurIPS 2016), under the names that checkpoints use.

    Where no gradients are wanted the product is kept from call to call, until one of the factors is changed.

    Args:
        shape: Of the weight, (C', C, K) or (C, C', K), or with a second kernel dimension.
        channels: Of the bias.
        std: Deviation of the initial weight; None for what torch gives a convolution.
    """

    def __init__(self, shape: tuple[int, ...], channels: int, std: float | None) -> None:
        super().__init__()
        weight = torch.empty(shape)
        if std is None:
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        else:
            nn.init.normal_(weight, 0.0, std)
        bound = 1 / math.sqrt(weight[0].numel())
        self.weight_v = nn.Parameter(weight)
        self.weight_g = nn.Parameter(torch.norm_except_dim(weight, 2, 0))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound))
        self._kept: tuple[Any, Tensor] | None = None

    def weight(self) -> Tensor:
        """Return the weight as that of a two-dimensional convolution."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._product()
        factors = (self.weight_v, self.weight_g)
        key = [(each.data_ptr(), each.dtype, None if each.is_inference() else each._version) for each in factors]
        if self._kept is None or self._kept[0] != key:
            weight = self._product()
            layout = torch.channels_last if weight.device.type == "cpu" else torch.contiguous_format
            self._kept = (key, weight.contiguous(memory_format=layout))
        return self._kept[1]

    def _product(self) -> Tensor:
        weight = self.weight_v * (self.weight_g / torch.norm_except_dim(self.weight_v, 2, 0))
        return weight.unsqueeze(2) if weight.ndim == 3 else weight

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}


def _fuses(x: Tensor) -> bool:
    """Whether oneDNN can do at once what follows a convolution: on a CPU, where no gradients are wanted."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and bool(torch.backends.mkldnn.enabled)
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    )


class NormedConv(_Normed):
    """Convolution that keeps the length where its stride is 1.

    Args:
        channels: C.
        out_channels: C'.
        kernel_size: K, odd.
        dilation: Steps between two taps of the kernel.
        stride: Steps from one output to the next.
        groups: Groups of channels.
        std: Deviation of the initial weights; None for torch's own.
        over_rows: Whether time runs along the first dimension of the picture and not along the second.

    Example:
        >>> NormedConv(3, 5, 7)(torch.randn(2, 3, 1, 20)).shape
        torch.Size([2, 5, 1, 20])
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        kernel_size: int,
        dilation: int = 1,
        stride: int = 1,
        groups: int = 1,
        std: float | None = None,
        over_rows: bool = False,
    ) -> None:
        shape = (out_channels, channels // groups, kernel_size)
        super().__init__((*shape, 1) if over_rows else shape, out_channels, std)
        padding = (kernel_size - 1) * dilation // 2
        self.groups = groups
        self.dilation: _Size = (dilation, 1) if over_rows else (1, dilation)
        self.stride: _Size = (stride, 1) if over_rows else (1, stride)
        self.padding: _Size = (padding, 0) if over_rows else (0, padding)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', 1, T') of ``x`` (B, C, 1, T)."""
        return F.conv2d(x, self.weight(), self.bias, self.stride, self.padding, self.dilation, self.groups)

    def then_leaky(self, x: Tensor, slope: float) -> Tensor:
        """Return the leaky ReLU of the convolution of ``x``, in one pass where there is one."""
        if not _fuses(x):
            return F.leaky_relu_(self(x), slope)
        return torch.ops.mkldnn._convolution_pointwise(x, *self._settings(), "leaky_relu", [slope], "")

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """Return the convolution of ``x`` and ``other`` added up, in one pass where there is one."""
        if not _fuses(x):
            return self(x).add_(other)
        fused = torch.ops.mkldnn._convolution_pointwise.binary
        return fused(x, other, *self._settings(), "add", 1.0, None, [], None)

    def _settings(self) -> tuple[Any, ...]:
        return self.weight(), self.bias, self.padding, self.stride, self.dilation, self.groups


class NormedConvTranspose(_Normed):
    """Transposed convolution that makes ``stride`` steps of each.

    Args:
        channels: C.
        out_channels: C'.
        kernel_size: K; as many more than ``stride`` as is even.
        stride: Steps that come out for each.
        std: Deviation of the initial weights; None for torch's own.

    Example:
        >>> NormedConvTranspose(3, 5, 16, stride=8)(torch.randn(2, 3, 1, 20)).shape
        torch.Size([2, 5, 1, 160])
    """

    def __init__(
        self, channels: int, out_channels: int, kernel_size: int, stride: int, std: float | None = None
    ) -> None:
        super().__init__((channels, out_channels, kernel_size), out_channels, std)
        self.stride: _Size = (1, stride)
        self.padding: _Size = (0, (kernel_size - stride) // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', 1, stride T) of ``x`` (B, C, 1, T)."""
        return F.conv_transpose2d(x, self.weight(), self.bias, self.stride, self.padding)
