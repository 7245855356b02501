"""The building block of Jasper, QuartzNet and their kin: masked 1-d convolutions with a residual branch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nemo_core.errors import ConfigError

__all__ = ["ACTIVATIONS", "JasperBlock", "MaskedConv1d", "mask_beyond", "same_padding"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "swish": nn.SiLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "hardtanh": nn.Hardtanh,
}


def mask_beyond(x: Tensor, length: Tensor) -> Tensor:
    """Return ``x`` (B, D, T) with zeros from frame ``length`` (B,) on."""
    inside = torch.arange(x.shape[2], device=x.device) < length.unsqueeze(1)
    return x * inside.unsqueeze(1)  # five times as fast as masked_fill on CPU, forward and backward


def same_padding(kernel_size: int, stride: int, dilation: int) -> int:
    """Return the padding on each side that keeps ``T`` frames at stride 1 (odd kernels)."""
    if stride > 1 and dilation > 1:
        raise ConfigError(f"a convolution can have a stride or a dilation, not both ({stride}, {dilation})")
    return dilation * (kernel_size - 1) // 2


class MaskedConv1d(nn.Module):
    """1-d convolution that does not see what lies beyond the end of an utterance.

    Frames from ``length`` on are zeroed before the convolution, so that an utterance gives the same frames alone as in
    a padded batch.

    Example:
        >>> conv = MaskedConv1d(1, 1, kernel_size=3, stride=2, padding=1)
        >>> y, length = conv(torch.ones(1, 1, 8), torch.tensor([5]))
        >>> y.shape, length.tolist()
        (torch.Size([1, 1, 4]), [3])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = False,
        mask: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.mask = mask

    def forward(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the convolved (B, D, T) and its lengths (B,)."""
        if self.mask:
            x = mask_beyond(x, length)
        conv = self.conv
        reach = conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
        padding = conv.padding[0]
        assert isinstance(padding, int)
        length = torch.div(length + 2 * padding - reach, conv.stride[0], rounding_mode="floor") + 1
        return conv(x), length.clamp(min=0)


class JasperBlock(nn.Module):
    """``repeat`` times convolution, batch norm, activation and dropout, with a residual branch round all of it.

    Jasper (Li et al., 2019, arXiv:1904.03288); with ``separable`` the block of QuartzNet (Kriman et al., 2019,
    arXiv:1910.10261). Child modules are laid out as in NVIDIA NeMo, so that the names of weights agree.

    Args:
        in_channels: Channels that come in.
        filters: Channels that go out.
        kernel_size: Frames a convolution sees.
        repeat: Number of convolutions.
        stride: Stride of the convolutions (in practice only with ``repeat=1``).
        dilation: Dilation of the convolutions.
        dropout: Probability of a dropped activation.
        activation: A name of :data:`ACTIVATIONS`.
        residual: Whether to add a 1x1-convolved copy of the input before the last activation.
        separable: Depthwise convolution followed by a 1x1 convolution, instead of a full one.
        conv_mask: Whether convolutions are masked (see :class:`MaskedConv1d`).
        norm_eps: Epsilon of the batch norm.
        norm_momentum: Momentum of the batch norm.
    """

    def __init__(
        self,
        in_channels: int,
        filters: int,
        *,
        kernel_size: int,
        repeat: int = 1,
        stride: int = 1,
        dilation: int = 1,
        dropout: float = 0.0,
        activation: str = "relu",
        residual: bool = True,
        separable: bool = False,
        conv_mask: bool = True,
        norm_eps: float = 1e-3,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(f"activation {activation!r} is not known", hint=f"one of {', '.join(ACTIVATIONS)}")

        def norm() -> nn.BatchNorm1d:
            return nn.BatchNorm1d(filters, eps=norm_eps, momentum=norm_momentum)

        def activate() -> list[nn.Module]:
            return [ACTIVATIONS[activation](), nn.Dropout(dropout)]

        def convolve(channels: int) -> list[nn.Module]:
            shape: dict[str, Any] = {
                "stride": stride,
                "dilation": dilation,
                "padding": same_padding(kernel_size, stride, dilation),
            }
            if not separable:
                return [MaskedConv1d(channels, filters, kernel_size, mask=conv_mask, **shape), norm()]
            depthwise = MaskedConv1d(channels, channels, kernel_size, groups=channels, mask=conv_mask, **shape)
            return [depthwise, MaskedConv1d(channels, filters, 1, mask=conv_mask), norm()]

        layers: list[nn.Module] = []
        for index in range(repeat):
            layers += convolve(in_channels if index == 0 else filters)
            if index < repeat - 1:
                layers += activate()
        self.mconv = nn.ModuleList(layers)
        # The branch is 1x1 and masked like the rest; one list deeper than needed because NeMo's dense variant has many.
        branch = [MaskedConv1d(in_channels, filters, 1, stride=stride, mask=conv_mask), norm()]
        self.res = nn.ModuleList([nn.ModuleList(branch)]) if residual else None
        self.mout = nn.Sequential(*activate())

    def forward(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the block's output (B, D, T) and its lengths (B,)."""
        out, out_length = _run(self.mconv, x, length)
        if self.res is not None:
            for branch in self.res:
                assert isinstance(branch, nn.ModuleList)
                out = out + _run(branch, x, length)[0]
        return self.mout(out), out_length


def _run(layers: nn.ModuleList, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    for layer in layers:
        if isinstance(layer, MaskedConv1d):
            x, length = layer(x, length)
        else:
            x = layer(x)
    return x, length
