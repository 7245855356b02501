"""The discriminators of HiFi-GAN: is this audio real?"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from nemo_core import types as nt
from nemo_core.modules import NeuralModule
from nemo_tts.modules.normed_conv import NormedConv, as_picture

__all__ = ["MultiPeriodDiscriminator", "MultiScaleDiscriminator"]

_SLOPE = 0.1


class _Discriminators(NeuralModule):
    """Several discriminators, each of which judges every moment and shows what it has seen on the way."""

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``audio`` (B, T)."""
        return {"audio": nt.NeuralType(("B", "T"), nt.AudioSignal())}

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``scores``, a list of (B, T'), near 1 for real audio and near 0 for other; ``features``, a list of maps."""
        return {
            "scores": nt.NeuralType(("[B]", "B", "T"), nt.RegressionValues()),
            "features": nt.NeuralType(("[B]", "B", "D", "ANY", "ANY"), nt.AcousticEncoded()),
        }


class MultiPeriodDiscriminator(_Discriminators):
    """Looks at every p-th sample, for several p (HiFi-GAN, Kong et al., NeurIPS 2020).

    Args:
        periods: The p.
        channels: Of the convolutions of each; the last is that of two of them.

    Example:
        >>> import torch
        >>> scores, features = MultiPeriodDiscriminator(periods=[2, 3], channels=[2, 4])(torch.randn(1, 100))
        >>> len(scores), len(features)
        (2, 8)
    """

    def __init__(
        self, periods: Sequence[int] = (2, 3, 5, 7, 11), channels: Sequence[int] = (32, 128, 512, 1024)
    ) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(_Period(period, channels) for period in periods)

    @nt.typed
    def forward(self, audio: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return scores and features."""
        return _judged(list(self.discriminators), [audio] * len(self.discriminators))


class MultiScaleDiscriminator(_Discriminators):
    """Looks at audio, and at audio averaged over 2 and 4 samples (MelGAN, Kumar et al., NeurIPS 2019).

    The first has spectral norm (Miyato et al., ICLR 2018), the others weight norm.

    Args:
        scales: How many there are.
        width: 1 for the channels of the paper; a fraction for fewer, in tests.

    Example:
        >>> import torch
        >>> scores, features = MultiScaleDiscriminator(scales=2, width=0.125)(torch.randn(1, 400))
        >>> len(scores), len(features)
        (2, 16)
    """

    def __init__(self, scales: int = 3, width: float = 1.0) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(_Scale(width, spectral=index == 0) for index in range(scales))

    @nt.typed
    def forward(self, audio: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return scores and features."""
        views = [audio]
        for _ in self.discriminators[1:]:
            views.append(F.avg_pool1d(views[-1].unsqueeze(1), 4, 2, padding=2).squeeze(1))
        return _judged(list(self.discriminators), views)


def _judged(discriminators: Sequence[nn.Module], views: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    scores, features = [], []
    for discriminator, view in zip(discriminators, views, strict=True):
        maps = discriminator(view)
        features += maps
        scores.append(maps[-1].flatten(1))
    return scores, features


class _Period(nn.Module):
    def __init__(self, period: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.period = period
        steps = [1, *channels]
        self.convs = nn.ModuleList(NormedConv(a, b, 5, stride=3, over_rows=True) for a, b in itertools.pairwise(steps))
        self.convs.append(NormedConv(steps[-1], steps[-1], 5, over_rows=True))
        self.conv_post = NormedConv(steps[-1], 1, 3, over_rows=True)

    def forward(self, audio: Tensor) -> list[Tensor]:
        missing = -audio.shape[1] % self.period
        x = F.pad(audio.unsqueeze(1), (0, missing), mode="reflect") if missing else audio.unsqueeze(1)
        return _maps(x.view(len(audio), 1, -1, self.period), self.convs, self.conv_post)


class _Scale(nn.Module):
    #: Channels, kernel, stride and groups of each convolution.
    LAYERS = (
        (128, 15, 1, 1),
        (128, 41, 2, 4),
        (256, 41, 2, 16),
        (512, 41, 4, 16),
        (1024, 41, 4, 16),
        (1024, 41, 1, 16),
        (1024, 5, 1, 1),
    )

    def __init__(self, width: float, spectral: bool) -> None:
        super().__init__()
        make = _spectral if spectral else NormedConv
        self.convs = nn.ModuleList()
        before = 1
        for channels, kernel, stride, groups in self.LAYERS:
            wide = max(16, int(channels * width))
            self.convs.append(make(before, wide, kernel, stride=stride, groups=min(groups, wide // 4)))
            before = wide
        self.conv_post = make(before, 1, 3)

    def forward(self, audio: Tensor) -> list[Tensor]:
        return _maps(as_picture(audio.unsqueeze(1)), self.convs, self.conv_post)


def _spectral(channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(
        channels, out_channels, (1, kernel_size), (1, stride), (0, kernel_size // 2), groups=groups, bias=True
    )
    return parametrizations.spectral_norm(conv)


def _maps(x: Tensor, convs: nn.ModuleList, last: nn.Module) -> list[Tensor]:
    maps = []
    for conv in convs:
        x = F.leaky_relu_(conv(x), _SLOPE)
        maps.append(x)
    return [*maps, last(x)]
