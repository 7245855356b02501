"""The building block of Jasper, QuartzNet, Citrinet and their kin: masked 1-d convolutions with a residual branch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_asr.modules.squeeze_excite import SqueezeExcite
from nemo_core.errors import ConfigError

__all__ = ["ACTIVATIONS", "JasperBlock", "MaskedConv1d", "mask_beyond", "same_padding", "scaled_kernel"]

RESIDUAL_MODES = ("add", "stride_add", "max")

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
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


def scaled_kernel(kernel_size: int, factor: float) -> int:
    """Return ``factor`` times ``kernel_size``, rounded down to a whole number, then up to an odd one.

    Example:
        >>> scaled_kernel(11, 1.0), scaled_kernel(11, 0.25), scaled_kernel(5, 0.1)
        (11, 3, 1)
    """
    kernel_size = max(int(kernel_size * factor), 1)
    return kernel_size + 1 - kernel_size % 2


class MaskedConv1d(nn.Module):
    """1-d convolution that does not see what lies beyond the end of an utterance.

    Frames from ``length`` on are zeroed before the convolution, so that an utterance gives the same frames alone as in
    a padded batch.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        kernel_size: Frames the convolution sees.
        stride: Its stride.
        padding: Frames of zeros on each side, or a pair: before, after.
        dilation: Its dilation.
        groups: Groups of channels that do not see each other.
        heads: A depthwise convolution of which every ``heads``-th channel has the same kernel; -1: each has its own.
        bias: Whether to add a bias.
        mask: Whether to zero frames beyond the end.

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
        padding: int | tuple[int, int] = 0,
        dilation: int = 1,
        groups: int = 1,
        heads: int = -1,
        bias: bool = False,
        mask: bool = True,
    ) -> None:
        super().__init__()
        if heads != -1:
            if groups != in_channels or in_channels % heads:
                raise ConfigError(
                    f"heads {heads}: a convolution of {in_channels} channels in {groups} groups cannot share kernels",
                    hint="heads are for depthwise (separable) convolutions, and must divide their channels",
                )
            in_channels = out_channels = groups = heads
        before, after = padding if isinstance(padding, tuple) else (padding, padding)
        self.conv = nn.Conv1d(
            in_channels, out_channels, kernel_size, stride, before if before == after else 0, dilation, groups, bias
        )
        self.padding = (before, after)
        self.heads = heads
        self.mask = mask

    def forward(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the convolved (B, D, T) and its lengths (B,)."""
        if self.mask:
            x = mask_beyond(x, length)
        conv = self.conv
        reach = conv.dilation[0] * (conv.kernel_size[0] - 1) + 1
        length = torch.div(length + sum(self.padding) - reach, conv.stride[0], rounding_mode="floor") + 1
        if self.padding[0] != self.padding[1]:
            x = F.pad(x, self.padding)
        if self.heads != -1:
            y = conv(x.reshape(-1, self.heads, x.shape[2]))
            y = y.reshape(x.shape[0], -1, y.shape[2])
        else:
            y = conv(x)
        return y, length.clamp(min=0)


class JasperBlock(nn.Module):
    """``repeat`` times convolution, norm, activation and dropout, with a residual branch round all of it.

    Jasper (Li et al., 2019, arXiv:1904.03288); with ``separable`` the block of QuartzNet (Kriman et al., 2019,
    arXiv:1910.10261), with ``se`` as well that of Citrinet (Majumdar et al., 2021, arXiv:2104.01721). Child modules are
    laid out as in NVIDIA NeMo, so that the names of weights agree.

    Args:
        in_channels: Channels that come in.
        filters: Channels that go out.
        kernel_size: Frames a convolution sees.
        kernel_size_factor: What ``kernel_size`` is multiplied by; see :func:`scaled_kernel`.
        repeat: Number of convolutions.
        stride: Stride of each convolution, or of the last one with ``stride_last``.
        stride_last: Whether only the last convolution has the stride.
        dilation: Dilation of the convolutions.
        dropout: Probability of a dropped activation.
        activation: A name of :data:`ACTIVATIONS`.
        residual: Whether a 1x1-convolved copy of the input joins the output before the last activation.
        residual_mode: How it does: ``add`` (``stride_add`` is another name for it) or ``max``, the larger of the two.
        residual_dense: Channels of the inputs of the blocks before, which join it as well (Jasper DR).
        separable: Depthwise convolution followed by a 1x1 convolution, instead of a full one.
        groups: Groups of channels, shuffled after each norm; of a separable convolution, those of its 1x1 part.
        heads: Kernels that the channels of a depthwise convolution share; -1: each has its own.
        future_context: Frames that a convolution sees ahead; -1 for half of its kernel.
        se: Whether to end with :class:`~nemo_asr.modules.squeeze_excite.SqueezeExcite`.
        se_reduction_ratio: How much narrower its hidden layer is.
        se_context_size: Frames that it averages in training; -1 for all.
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
        kernel_size_factor: float = 1.0,
        repeat: int = 1,
        stride: int = 1,
        stride_last: bool = False,
        dilation: int = 1,
        dropout: float = 0.0,
        activation: str = "relu",
        residual: bool = True,
        residual_mode: str = "add",
        residual_dense: Sequence[int] = (),
        separable: bool = False,
        groups: int = 1,
        heads: int = -1,
        future_context: int = -1,
        se: bool = False,
        se_reduction_ratio: int = 8,
        se_context_size: int = -1,
        conv_mask: bool = True,
        norm_eps: float = 1e-3,
        norm_momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(f"activation {activation!r} is not known", hint=f"one of {', '.join(ACTIVATIONS)}")
        if residual_mode not in RESIDUAL_MODES:
            raise ConfigError(
                f"residual_mode {residual_mode!r} is not known", hint=f"one of {', '.join(RESIDUAL_MODES)}"
            )
        kernel_size = scaled_kernel(kernel_size, kernel_size_factor)
        padding = _padding(kernel_size, stride, dilation, future_context)

        def norm() -> list[nn.Module]:
            shuffle = [nn.ChannelShuffle(groups)] if groups > 1 else []
            return [nn.BatchNorm1d(filters, eps=norm_eps, momentum=norm_momentum), *shuffle]

        def activate() -> list[nn.Module]:
            return [ACTIVATIONS[activation](), nn.Dropout(dropout)]

        def convolve(channels: int, stride: int) -> list[nn.Module]:
            def conv(out: int, groups: int, heads: int = -1) -> nn.Module:
                return MaskedConv1d(
                    channels,
                    out,
                    kernel_size,
                    stride=stride,
                    dilation=dilation,
                    padding=padding,
                    groups=groups,
                    heads=heads,
                    mask=conv_mask,
                )

            if not separable:
                return [conv(filters, groups), *norm()]
            pointwise = MaskedConv1d(channels, filters, 1, groups=groups, mask=conv_mask)
            return [conv(channels, channels, heads), pointwise, *norm()]

        layers: list[nn.Module] = []
        for index in range(repeat):
            last = index == repeat - 1
            layers += convolve(in_channels if index == 0 else filters, stride if last or not stride_last else 1)
            if not last:
                layers += activate()
        if se:
            layers.append(SqueezeExcite(filters, se_reduction_ratio, se_context_size, ACTIVATIONS[activation]()))
        self.stride = stride if stride_last else stride**repeat
        self.mconv = nn.ModuleList(layers)
        self.res = None
        if residual:
            # 1x1 and masked like the rest. The first are of earlier inputs, the last is of the block's own.
            self.res = nn.ModuleList(
                nn.ModuleList(
                    [
                        MaskedConv1d(channels, filters, 1, stride=self.stride, mask=conv_mask),
                        nn.BatchNorm1d(filters, eps=norm_eps, momentum=norm_momentum),
                    ]
                )
                for channels in (*residual_dense, in_channels)
            )
        self.residual_mode = residual_mode
        self.mout = nn.Sequential(*activate())

    def forward(self, x: Tensor, length: Tensor, earlier: Sequence[Tensor] = ()) -> tuple[Tensor, Tensor]:
        """Return the block's output (B, D, T) and its lengths (B,).

        Args:
            x: What the block before gave, (B, D, T).
            length: Frames of each utterance (B,).
            earlier: Inputs of the blocks before, as many as ``residual_dense`` names.
        """
        out, out_length = _run(self.mconv, x, length)
        if self.res is not None:
            for branch, source in zip(self.res, (*earlier, x), strict=True):
                assert isinstance(branch, nn.ModuleList)
                joined = _run(branch, source, length)[0]
                out = torch.maximum(out, joined) if self.residual_mode == "max" else out + joined
        return self.mout(out), out_length


def _run(layers: nn.ModuleList, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    for layer in layers:
        if isinstance(layer, MaskedConv1d):
            x, length = layer(x, length)
        elif isinstance(layer, SqueezeExcite):
            x = layer(x, length)
        else:
            x = layer(x)
    return x, length


def _padding(kernel_size: int, stride: int, dilation: int, future: int) -> int | tuple[int, int]:
    even = same_padding(kernel_size, stride, dilation)
    if future < 0 or kernel_size <= future:
        return even
    if dilation > 1:
        raise ConfigError(f"a convolution can have a future_context or a dilation, not both ({future}, {dilation})")
    return kernel_size - 1 - future, future
