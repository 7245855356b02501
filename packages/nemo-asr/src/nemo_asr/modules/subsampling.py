"""Fewer frames, before the layers of an encoder: convolutions in time and frequency, or stacking."""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core.errors import ConfigError

__all__ = ["ConvSubsampling", "Reduction", "StackingSubsampling", "Subsampling", "make_subsampling"]


class Subsampling(nn.Module, abc.ABC):
    """Turns features (B, T, D) into fewer frames (B, T', D') and their lengths."""

    @abc.abstractmethod
    def forward(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frames (B, T', D') and their lengths (B,)."""

    @abc.abstractmethod
    def frames(self, length: Tensor) -> Tensor:
        """Return how many frames come out where ``length`` (B,) come in, one that is not whole included."""


class ConvSubsampling(Subsampling):
    """2-d convolutions of stride 2 over time and frequency, then a linear layer.

    What lies beyond the end of an utterance is zeroed before every convolution that looks at neighbouring frames, so
    that an utterance gives the same frames alone as in a padded batch. (NVIDIA NeMo does so since 2.5; before, the two
    differed. An utterance without padding gives the same in all versions.)

    Args:
        feat_in: Features per frame that come in.
        feat_out: Features per frame that go out.
        kind: ``striding``: full convolutions; ``dw_striding``: the first one full, the others depthwise and pointwise
            (FastConformer, Rekesh et al., 2023, arXiv:2305.05084); ``vggnet``: two convolutions, then a maximum over
            pairs.
        factor: How many frames come in for each that goes out; a power of two.
        channels: Channels of the convolutions.
        causal: Whether no frame depends on later ones (not offered for ``vggnet``).

    Example:
        >>> subsampling = ConvSubsampling(80, 16, kind="dw_striding", factor=8, channels=4)
        >>> x, length = subsampling(torch.randn(2, 100, 80), torch.tensor([100, 50]))
        >>> x.shape, length.tolist()
        (torch.Size([2, 13, 16]), [13, 7])
    """

    def __init__(
        self, feat_in: int, feat_out: int, *, kind: str, factor: int, channels: int, causal: bool = False
    ) -> None:
        super().__init__()
        steps = _steps(factor)
        if kind == "vggnet":
            if causal:
                raise ConfigError("encoder: vggnet subsampling cannot be causal", hint="use dw_striding or striding")
            layers = list(_vgg_layers(steps, channels))
        else:
            layers = list(_strided_layers(steps, channels, depthwise=kind == "dw_striding", causal=causal))
        # A flat list, activations included, as in NVIDIA NeMo: names of weights agree.
        self.conv = nn.ModuleList(layers)
        bins = torch.tensor(feat_in, device="cpu")  # also where the weights are on no device yet
        for layer in layers:
            bins = _length_after(layer, bins)
        self.out = nn.Linear(channels * int(bins), feat_out)

    def forward(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frames (B, T', D') and their lengths (B,)."""
        x = _zero_padding(x.unsqueeze(1).clone(), length)
        if x.device.type == "cpu":
            x = x.to(memory_format=torch.channels_last)  # halves the time of these convolutions
        for layer in self.conv:
            # Before the ReLU, not after: its output is kept for the backward pass, what it is given can be overwritten.
            if isinstance(layer, nn.ReLU):
                x = _zero_padding(x, length)
            x = layer(x)
            length = _length_after(layer, length)
        return self.out(x.transpose(1, 2).flatten(2)), length

    def frames(self, length: Tensor) -> Tensor:
        """Return how many frames come out where ``length`` (B,) come in."""
        for layer in self.conv:
            length = _length_after(layer, length)
        return length


class StackingSubsampling(Subsampling):
    """``factor`` frames side by side, then a linear layer; frames at the end that do not fill a stack are dropped.

    (NVIDIA NeMo counts a last stack or not depending on the padding of the batch. Its front ends give one frame more
    than they count, so that of an utterance alone it drops such frames, too.)

    Args:
        feat_in: Features per frame that come in.
        feat_out: Features per frame that go out.
        factor: How many frames make one.
        norm: Whether frames are normalised first.

    Example:
        >>> x, length = StackingSubsampling(80, 16, factor=4)(torch.randn(2, 10, 80), torch.tensor([10, 8]))
        >>> x.shape, length.tolist()
        (torch.Size([2, 3, 16]), [2, 2])
    """

    def __init__(self, feat_in: int, feat_out: int, *, factor: int, norm: bool = False) -> None:
        super().__init__()
        self.factor = factor
        self.pre_norm = nn.LayerNorm(feat_in) if norm else None
        self.proj_out = nn.Linear(factor * feat_in, feat_out)

    def forward(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frames (B, T', D') and their lengths (B,)."""
        x = F.pad(x, (0, 0, 0, -x.shape[1] % self.factor))
        if self.pre_norm is not None:
            x = self.pre_norm(x)
        stacked = x.reshape(x.shape[0], x.shape[1] // self.factor, -1)
        return self.proj_out(stacked), torch.div(length, self.factor, rounding_mode="floor")

    def frames(self, length: Tensor) -> Tensor:
        """Return how many frames come out where ``length`` (B,) come in, one that is not whole included."""
        return torch.div(length + self.factor - 1, self.factor, rounding_mode="floor")


class Reduction(Subsampling):
    """Fewer frames between the layers of an encoder.

    Args:
        d_model: Features per frame.
        kind: ``pooling``: the maximum of ``factor`` frames; ``striding``: convolutions as in :class:`ConvSubsampling`.
        factor: How many frames come in for each that goes out.

    Example:
        >>> x, length = Reduction(8, kind="pooling", factor=2)(torch.randn(2, 10, 8), torch.tensor([10, 5]))
        >>> x.shape, length.tolist()
        (torch.Size([2, 5, 8]), [5, 2])
    """

    def __init__(self, d_model: int, *, kind: str, factor: int) -> None:
        super().__init__()
        if kind not in ("pooling", "striding"):
            raise ConfigError(f"encoder: reduction {kind!r} is not known", hint="pooling, striding or null")
        self.factor = factor
        self.reduction_enc: nn.MaxPool1d | ConvSubsampling = (
            nn.MaxPool1d(factor)
            if kind == "pooling"
            else ConvSubsampling(d_model, d_model, kind=kind, factor=factor, channels=d_model)
        )

    def forward(self, x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frames (B, T', D) and their lengths (B,)."""
        if isinstance(self.reduction_enc, ConvSubsampling):
            x, length = self.reduction_enc(x, length)
            return x, length
        x = F.pad(x, (0, 0, 0, max(self.factor - x.shape[1], 0)))
        pooled = self.reduction_enc(x.transpose(1, 2)).transpose(1, 2)
        return pooled, torch.div(length, self.factor, rounding_mode="floor")

    def frames(self, length: Tensor) -> Tensor:
        """Return how many frames come out where ``length`` (B,) come in."""
        if isinstance(self.reduction_enc, ConvSubsampling):
            return self.reduction_enc.frames(length)
        return torch.div(length, self.factor, rounding_mode="floor")


def make_subsampling(
    kind: str, *, feat_in: int, feat_out: int, factor: int, channels: int, causal: bool
) -> Subsampling | nn.Linear:
    """Return the subsampling called ``kind``; for a ``factor`` of 1 a linear layer.

    Example:
        >>> type(make_subsampling("stacking", feat_in=8, feat_out=4, factor=4, channels=4, causal=False)).__name__
        'StackingSubsampling'
    """
    if factor == 1:
        return nn.Linear(feat_in, feat_out)
    if kind in ("stacking", "stacking_norm"):
        return StackingSubsampling(feat_in, feat_out, factor=factor, norm=kind == "stacking_norm")
    if kind in ("striding", "dw_striding", "vggnet"):
        return ConvSubsampling(feat_in, feat_out, kind=kind, factor=factor, channels=channels, causal=causal)
    raise ConfigError(
        f"encoder: subsampling {kind!r} is not known",
        hint="one of striding, dw_striding, vggnet, stacking, stacking_norm",
    )


class _CausalConv2d(nn.Conv2d):
    """Convolution of which no output depends on later inputs, in time as in frequency (as NVIDIA NeMo has it)."""

    def forward(self, x: Tensor) -> Tensor:
        before, after = self.kernel_size[0] - 1, self.stride[0] - 1
        return super().forward(F.pad(x, (before, after, before, after)))


def _strided_layers(steps: int, channels: int, *, depthwise: bool, causal: bool) -> Iterator[nn.Module]:
    convolution, padding = (_CausalConv2d, 0) if causal else (nn.Conv2d, 1)
    for step in range(steps):
        if step == 0 or not depthwise:
            yield convolution(1 if step == 0 else channels, channels, kernel_size=3, stride=2, padding=padding)
        else:
            yield convolution(channels, channels, kernel_size=3, stride=2, padding=padding, groups=channels)
            yield nn.Conv2d(channels, channels, kernel_size=1)
        yield nn.ReLU(inplace=True)


def _vgg_layers(steps: int, channels: int) -> Iterator[nn.Module]:
    for step in range(steps):
        yield nn.Conv2d(1 if step == 0 else channels, channels, kernel_size=3, padding=1)
        yield nn.ReLU(inplace=True)
        yield nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        yield nn.ReLU(inplace=True)
        yield nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True)


def _steps(factor: int) -> int:
    steps = int(math.log2(factor)) if factor > 0 else 0
    if 2**steps != factor:
        raise ConfigError(f"encoder: subsampling_factor {factor} is not a power of two")
    return steps


def _length_after(layer: nn.Module, length: Tensor) -> Tensor:
    """Return how many frames (or frequency bins) are left of ``length`` after a layer."""
    if isinstance(layer, nn.MaxPool2d):
        return torch.div(length + 1, 2, rounding_mode="floor")
    if not isinstance(layer, nn.Conv2d) or layer.kernel_size[0] == 1:
        return length
    if isinstance(layer, _CausalConv2d):
        padding = layer.kernel_size[0] - 1 + layer.stride[0] - 1
    else:
        assert not isinstance(layer.padding, str)
        padding = 2 * layer.padding[0]
    return torch.div(length + padding - layer.kernel_size[0], layer.stride[0], rounding_mode="floor") + 1


def _zero_padding(x: Tensor, length: Tensor) -> Tensor:
    """Put zeros into ``x`` (B, C, T, F) from frame ``length`` (B,) on, in place."""
    inside = torch.arange(x.shape[2], device=x.device) < length.unsqueeze(1)
    return x.mul_(inside[:, None, :, None])  # a sixth of the time of masked_fill_
