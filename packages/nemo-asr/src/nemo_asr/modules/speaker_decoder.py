"""From encoded frames to the embedding of a speaker, and to the speakers known in training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_asr.modules.initialize import initialize
from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule

__all__ = ["AttentivePooling", "SpeakerDecoder", "StatisticsPooling"]

_VARIANCE_FLOOR = 1e-10


class StatisticsPooling(nn.Module):
    """Mean, and optionally standard deviation, over the frames of an utterance (x-vectors, Snyder et al., 2018).

    Example:
        >>> pool = StatisticsPooling(1, deviation=True)
        >>> pool(torch.tensor([[[1.0, 3.0, 99.0]]]), torch.tensor([2])).tolist()
        [[2.0, 1.4142135381698608]]
    """

    def __init__(self, channels: int, *, deviation: bool) -> None:
        super().__init__()
        self.deviation = deviation
        self.channels = channels * (2 if deviation else 1)

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        """Return the statistics (B, C) of ``x`` (B, D, T) over its first ``length`` (B,) frames."""
        inside = _inside(x, length)
        count = inside.sum(dim=2)
        mean = x.masked_fill(~inside, 0.0).sum(dim=2) / count
        if not self.deviation:
            return mean
        squares = (x - mean.unsqueeze(2)).masked_fill(~inside, 0.0).square().sum(dim=2)
        variance = squares / (count - 1).clamp(min=1)
        return torch.cat([mean, variance.clamp(min=_VARIANCE_FLOOR).sqrt()], dim=1)


class AttentivePooling(nn.Module):
    """Mean and deviation over the frames of an utterance, weighted by attention that sees their plain statistics.

    Channel- and context-dependent statistics pooling of ECAPA-TDNN (Desplanques et al., 2020, arXiv:2005.07143).

    Example:
        >>> pool = AttentivePooling(16)
        >>> pool(torch.randn(2, 16, 50), torch.tensor([50, 30])).shape
        torch.Size([2, 32])
    """

    def __init__(self, channels: int, attention_channels: int = 128) -> None:
        super().__init__()
        self.channels = 2 * channels
        self.attention_layer = nn.Sequential(
            _TDNN(3 * channels, attention_channels), nn.Tanh(), nn.Conv1d(attention_channels, channels, kernel_size=1)
        )

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        """Return the statistics (B, 2 D) of ``x`` (B, D, T) over its first ``length`` (B,) frames."""
        inside = _inside(x, length)
        x = x.masked_fill(~inside, 0.0)
        even = inside / inside.sum(dim=2, keepdim=True)
        context = [statistic.unsqueeze(2).expand_as(x) for statistic in _statistics(x, even)]
        attention = self.attention_layer(torch.cat([x, *context], dim=1))
        weight = attention.masked_fill(~inside, -torch.inf).softmax(dim=2)
        return torch.cat(_statistics(x, weight), dim=1)


class _TDNN(nn.Module):
    """A convolution over single frames, an activation and a norm; the names are those of NVIDIA's weights."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv_layer = nn.Conv1d(channels, filters, kernel_size=1)
        self.bn = nn.BatchNorm1d(filters)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv_layer(x).relu())
        return out


class SpeakerDecoder(NeuralModule):
    """Frames pooled over time, one or more embedding layers, and a linear layer to the speakers known in training.

    The decoder of TitaNet (Koluguri et al., 2022, arXiv:2110.04410) and SpeakerNet (2020, arXiv:2010.12653). Frames
    beyond the end of an utterance are not pooled.

    Args:
        feat_in: Features per frame that come in.
        num_classes: Speakers known in training.
        emb_sizes: Width of the embedding, or of each embedding layer; the last one is the embedding.
        pool_mode: ``xvector``: mean and deviation; ``tap``: mean; ``attention``: both, weighted by attention.
        angular: Whether logits are cosines between the embedding and each speaker's weights, as
            :class:`~nemo_asr.losses.angular.AngularSoftmaxLoss` needs them.
        attention_channels: Hidden channels of the attention.
        normalize_classes: With ``angular``, whether the speakers' weights have length one. NVIDIA NeMo means them to
            and leaves them as they are, so its models need false.
        init_mode: How weights are drawn; see :func:`~nemo_asr.modules.initialize.initialize`.

    Example:
        >>> decoder = SpeakerDecoder(feat_in=32, num_classes=10, emb_sizes=16, pool_mode="attention")
        >>> logits, embedding = decoder(encoded=torch.randn(2, 32, 50), length=torch.tensor([50, 30]))
        >>> logits.shape, embedding.shape
        (torch.Size([2, 10]), torch.Size([2, 16]))
    """

    def __init__(
        self,
        feat_in: int,
        num_classes: int,
        emb_sizes: int | Sequence[int] = 256,
        pool_mode: Literal["xvector", "tap", "attention"] = "xvector",
        angular: bool = False,
        attention_channels: int = 128,
        normalize_classes: bool = True,
        init_mode: str | None = "xavier_uniform",
    ) -> None:
        super().__init__()
        sizes = [emb_sizes] if isinstance(emb_sizes, int) else list(emb_sizes)
        if num_classes < 1 or not sizes or min(sizes) < 1:
            raise ConfigError(f"decoder: num_classes is {num_classes} and emb_sizes {emb_sizes}")
        self._pooling: StatisticsPooling | AttentivePooling
        if pool_mode == "attention":
            self._pooling = AttentivePooling(feat_in, attention_channels)
        elif pool_mode in ("xvector", "tap"):
            self._pooling = StatisticsPooling(feat_in, deviation=pool_mode == "xvector")
        else:
            raise ConfigError(f"pool_mode {pool_mode!r} is not known", hint="xvector, tap or attention")
        widths = [self._pooling.channels, *sizes]
        make = _conv_layer if pool_mode == "attention" else _linear_layer
        self.emb_layers = nn.ModuleList(make(*pair) for pair in pairwise(widths))
        self.final = nn.Linear(widths[-1], num_classes, bias=not angular)
        self.feat_in = feat_in
        self.num_classes = num_classes
        self.embedding_size = sizes[-1]
        self.angular = angular
        self.normalize_classes = normalize_classes
        initialize(self, init_mode)

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``encoded`` (B, D, T) and ``length`` (B,) in frames."""
        return {
            "encoded": nt.NeuralType(("B", "D", "T"), nt.AcousticEncoded()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``logits`` (B, C) and ``embedding`` (B, E)."""
        return {
            "logits": nt.NeuralType(("B", "D"), nt.Logits()),
            "embedding": nt.NeuralType(("B", "D"), nt.AcousticEncoded()),
        }

    @nt.typed
    def forward(self, encoded: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, C) and embeddings (B, E)."""
        x = embedding = self._pooling(encoded, length)
        for layer in self.emb_layers:
            assert isinstance(layer, nn.Sequential)
            if isinstance(layer[1], nn.Conv1d):
                x = embedding = layer(x.unsqueeze(2)).squeeze(2)
            else:
                embedding = layer[:2](x)  # before the activation
                x = layer[2](embedding)
        if not self.angular:
            return self.final(x), embedding
        weight = F.normalize(self.final.weight, dim=1) if self.normalize_classes else self.final.weight
        return F.linear(F.normalize(x, dim=1), weight), embedding


def _conv_layer(width: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm1d(width), nn.Conv1d(width, size, kernel_size=1))


def _linear_layer(width: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, size), nn.BatchNorm1d(size, affine=False), nn.ReLU())


def _inside(x: Tensor, length: Tensor) -> Tensor:
    """Return a mask (B, 1, T) of the frames to pool: those of the utterance, but at least one."""
    return (torch.arange(x.shape[2], device=x.device) < length.clamp(min=1).unsqueeze(1)).unsqueeze(1)


def _statistics(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    mean = (weight * x).sum(dim=2)
    variance = (weight * (x - mean.unsqueeze(2)).square()).sum(dim=2)
    return mean, variance.clamp(min=_VARIANCE_FLOOR).sqrt()
