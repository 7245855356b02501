"""The generators of HiFi-GAN and iSTFTNet: from a mel spectrogram to audio."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule
from nemo_tts.modules.normed_conv import NormedConv, NormedConvTranspose, as_picture

__all__ = ["HiFiGanGenerator", "ISTFTGenerator"]

_SLOPE = 0.1  # of the leaky ReLUs, but for the last one
_LAST_SLOPE = 0.01
_STD = 0.01  # of the initial weights


class _Upsampler(NeuralModule):
    """What both generators are made of: upsampling, and at each rate the mean of several residual blocks."""

    #: Samples that each step makes after the last upsampling.
    samples_per_step = 1

    def __init__(
        self,
        resblock: int,
        upsample_rates: Sequence[int],
        upsample_kernel_sizes: Sequence[int],
        upsample_initial_channel: int,
        resblock_kernel_sizes: Sequence[int],
        resblock_dilation_sizes: Sequence[Sequence[int]],
        initial_input_size: int,
        out_channels: int,
    ) -> None:
        super().__init__()
        if int(resblock) not in (1, 2):
            raise ConfigError(f"resblock {resblock!r} is neither 1 nor 2")
        if len(upsample_rates) != len(upsample_kernel_sizes):
            raise ConfigError("upsample_rates and upsample_kernel_sizes are not of one length")
        if len(resblock_kernel_sizes) != len(resblock_dilation_sizes):
            raise ConfigError("resblock_kernel_sizes and resblock_dilation_sizes are not of one length")
        for rate, kernel in zip(upsample_rates, upsample_kernel_sizes, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ConfigError(
                    f"an upsampling by {rate} cannot have a kernel of {kernel}",
                    hint="the kernel is as long as the rate, or longer by an even number",
                )
        self.n_mels = initial_input_size
        self.upsample_rates = list(upsample_rates)
        self.conv_pre = NormedConv(initial_input_size, upsample_initial_channel, 7)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        channels = upsample_initial_channel
        for rate, kernel in zip(upsample_rates, upsample_kernel_sizes, strict=True):
            self.ups.append(NormedConvTranspose(channels, channels // 2, kernel, rate, _STD))
            channels //= 2
            blocks = zip(resblock_kernel_sizes, resblock_dilation_sizes, strict=True)
            self.resblocks.append(nn.ModuleList(_block(int(resblock), channels, size, rates) for size, rates in blocks))
        self.conv_post = NormedConv(channels, out_channels, 7, std=_STD)

    @property
    def hop_length(self) -> int:
        """Samples that come out for each frame."""
        return math.prod(self.upsample_rates) * self.samples_per_step

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``spectrogram`` (B, D, M)."""
        element = nt.MelSpectrogram(n_mels=self.n_mels, hop_length=self.hop_length)
        return {"spectrogram": nt.NeuralType(("B", f"D:{self.n_mels}", "T"), element)}

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``audio`` (B, T)."""
        return {"audio": nt.NeuralType(("B", "T"), nt.AudioSignal())}

    def upsampled(self, spectrogram: Tensor) -> Tensor:
        """Return what the last convolution gives for ``spectrogram`` (B, D, M): (B, C, 1, T)."""
        x = self.conv_pre(as_picture(spectrogram))
        for upsample, blocks in zip(self.ups, self.resblocks, strict=True):
            assert isinstance(blocks, nn.ModuleList)
            x = upsample(F.leaky_relu_(x, _SLOPE))
            total: Tensor | None = None
            for block in blocks:
                y = block(x)
                total = y if total is None else total.add_(y)
            assert total is not None
            x = total.div_(len(blocks))
        return self.conv_post(F.leaky_relu_(x, _LAST_SLOPE))


class HiFiGanGenerator(_Upsampler):
    """Generator of HiFi-GAN (Kong et al., NeurIPS 2020): transposed convolutions and residual blocks of many widths.

    The defaults are those of version 1; version 2 has ``upsample_initial_channel=128``, and version 3
    ``resblock=2, upsample_rates=[8, 8, 4], upsample_kernel_sizes=[16, 16, 8], upsample_initial_channel=256,
    resblock_kernel_sizes=[3, 5, 7], resblock_dilation_sizes=[[1, 2], [2, 6], [3, 12]]``.

    Args:
        resblock: 1: each block is pairs of a dilated and a plain convolution; 2: single dilated convolutions.
        upsample_rates: By how much each stage makes time finer; their product is the hop of the spectrogram.
        upsample_kernel_sizes: Kernels of the transposed convolutions.
        upsample_initial_channel: Channels before the first stage, which each stage halves.
        resblock_kernel_sizes: Kernels of the blocks of a stage.
        resblock_dilation_sizes: Dilations of each of these blocks.
        initial_input_size: Mel bins.

    Example:
        >>> generator = HiFiGanGenerator(upsample_initial_channel=32)
        >>> generator(spectrogram=torch.randn(1, 80, 4)).shape
        torch.Size([1, 1024])
    """

    def __init__(
        self,
        resblock: int = 1,
        upsample_rates: Sequence[int] = (8, 8, 2, 2),
        upsample_kernel_sizes: Sequence[int] = (16, 16, 4, 4),
        upsample_initial_channel: int = 512,
        resblock_kernel_sizes: Sequence[int] = (3, 7, 11),
        resblock_dilation_sizes: Sequence[Sequence[int]] = ((1, 3, 5), (1, 3, 5), (1, 3, 5)),
        initial_input_size: int = 80,
    ) -> None:
        super().__init__(
            resblock,
            upsample_rates,
            upsample_kernel_sizes,
            upsample_initial_channel,
            resblock_kernel_sizes,
            resblock_dilation_sizes,
            initial_input_size,
            out_channels=1,
        )

    @nt.typed
    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return audio (B, T) in [-1, 1]."""
        return torch.tanh(self.upsampled(spectrogram)).flatten(1)


class ISTFTGenerator(_Upsampler):
    """Generator that leaves the last upsampling to an inverse Fourier transform (iSTFTNet, Kaneko et al., ICASSP 2022).

    It is some times as fast as :class:`HiFiGanGenerator`. With the defaults, which are the paper's ``C8C8I``, audio is
    made of frames of 16 samples, 4 apart.

    Args:
        resblock: See :class:`HiFiGanGenerator` for this and all that follow but the last two.
        upsample_rates: Their product and ``istft_hop_length`` make the hop of the spectrogram.
        upsample_kernel_sizes: Kernels of the transposed convolutions.
        upsample_initial_channel: Channels before the first stage.
        resblock_kernel_sizes: Kernels of the blocks of a stage.
        resblock_dilation_sizes: Dilations of each of these blocks.
        initial_input_size: Mel bins.
        istft_n_fft: Samples of a frame.
        istft_hop_length: Samples from one frame to the next.

    Example:
        >>> generator = ISTFTGenerator(upsample_initial_channel=32)
        >>> generator(spectrogram=torch.randn(1, 80, 4)).shape
        torch.Size([1, 1024])
    """

    def __init__(
        self,
        resblock: int = 1,
        upsample_rates: Sequence[int] = (8, 8),
        upsample_kernel_sizes: Sequence[int] = (16, 16),
        upsample_initial_channel: int = 512,
        resblock_kernel_sizes: Sequence[int] = (3, 7, 11),
        resblock_dilation_sizes: Sequence[Sequence[int]] = ((1, 3, 5), (1, 3, 5), (1, 3, 5)),
        initial_input_size: int = 80,
        istft_n_fft: int = 16,
        istft_hop_length: int = 4,
    ) -> None:
        super().__init__(
            resblock,
            upsample_rates,
            upsample_kernel_sizes,
            upsample_initial_channel,
            resblock_kernel_sizes,
            resblock_dilation_sizes,
            initial_input_size,
            out_channels=istft_n_fft + 2,
        )
        self.samples_per_step = istft_hop_length
        self.n_fft = istft_n_fft
        self.register_buffer("window", torch.hann_window(istft_n_fft), persistent=False)
        self.window: Tensor

    @nt.typed
    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return audio (B, T)."""
        x = self.upsampled(spectrogram).squeeze(2).float()
        # One frame more than there are hops, so that each sample lies under as many windows as any other.
        x = F.pad(x, (1, 0), mode="reflect") if x.shape[2] > 1 else F.pad(x, (1, 0), mode="replicate")
        magnitude, phase = x.split(self.n_fft // 2 + 1, dim=1)
        spectrum = torch.polar(magnitude.clamp(max=10.0).exp(), torch.pi * torch.sin(phase))
        return torch.istft(spectrum, self.n_fft, self.samples_per_step, window=self.window)


def _block(kind: int, channels: int, kernel_size: int, dilations: Sequence[int]) -> nn.Module:
    return (_Pairs if kind == 1 else _Singles)(channels, kernel_size, dilations)


def _conv(channels: int, kernel_size: int, dilation: int) -> NormedConv:
    return NormedConv(channels, channels, kernel_size, dilation, std=_STD)


class _Pairs(nn.Module):
    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1: Any = nn.ModuleList(
            NormedConv(channels, channels, kernel_size, each, std=_STD) for each in dilations
        )
        self.convs2: Any = nn.ModuleList(NormedConv(channels, channels, kernel_size, std=_STD) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = second.plus(first.then_leaky(F.leaky_relu(x, _SLOPE), _SLOPE), x)
        return x


class _Singles(nn.Module):
    def __init__(self, channels: int, kernel_size: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs: Any = nn.ModuleList(
            NormedConv(channels, channels, kernel_size, each, std=_STD) for each in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv.plus(F.leaky_relu(x, _SLOPE), x)
        return x
