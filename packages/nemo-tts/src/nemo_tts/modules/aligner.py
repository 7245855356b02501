"""Learns which frames belong to which token, without being told."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule
from nemo_tts.modules.conditioning import ConditionalInput
from nemo_tts.modules.masks import length_mask

__all__ = ["Aligner"]

_NEVER = -1e4  # not infinite: a softmax over nothing else would give no number


class Aligner(NeuralModule):
    """Soft alignment of text and speech by the distance of their encodings (Badlani et al., ICASSP 2022).

    Args:
        n_mel_channels: Bins of the spectrogram.
        n_text_channels: Channels of the embeddings of tokens.
        n_att_channels: Channels of the space in which they are compared.
        temperature: What distances are multiplied with.
        condition_types: How a condition comes in; see :mod:`nemo_tts.modules.conditioning`.
        dist_type: ``l2``, the squared Euclidean distance, or ``cosine``.

    Example:
        >>> aligner = Aligner(n_mel_channels=4, n_text_channels=8)
        >>> scores = aligner(
        ...     spectrogram=torch.randn(2, 4, 9),
        ...     embedded=torch.randn(2, 5, 8),
        ...     spectrogram_length=torch.tensor([9, 6]),
        ...     length=torch.tensor([5, 3]),
        ... )
        >>> scores.shape
        torch.Size([2, 9, 5])
    """

    def __init__(
        self,
        n_mel_channels: int = 80,
        n_text_channels: int = 512,
        n_att_channels: int = 80,
        temperature: float = 0.0005,
        condition_types: Sequence[str] = (),
        dist_type: Literal["l2", "cosine"] = "l2",
    ) -> None:
        super().__init__()
        if dist_type not in ("l2", "cosine"):
            raise ConfigError(f"dist_type {dist_type!r} is neither 'l2' nor 'cosine'")
        self.temperature, self.dist_type = temperature, dist_type
        self.n_mel_channels, self.n_text_channels = n_mel_channels, n_text_channels
        self.cond_input = ConditionalInput(n_text_channels, n_text_channels, condition_types)
        self.key_proj = nn.Sequential(
            _Conv(n_text_channels, 2 * n_text_channels, 3, "relu"),
            nn.ReLU(),
            _Conv(2 * n_text_channels, n_att_channels, 1),
        )
        self.query_proj = nn.Sequential(
            _Conv(n_mel_channels, 2 * n_mel_channels, 3, "relu"),
            nn.ReLU(),
            _Conv(2 * n_mel_channels, n_mel_channels, 1),
            nn.ReLU(),
            _Conv(n_mel_channels, n_att_channels, 1),
        )

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``spectrogram`` (B, D, M), ``embedded`` tokens (B, T, E), lengths, a log-prior (B, M, T), a condition."""
        return {
            "spectrogram": nt.NeuralType(("B", f"D:{self.n_mel_channels}", "T"), nt.MelSpectrogram()),
            "embedded": nt.NeuralType(("B", "T", f"D:{self.n_text_channels}"), nt.EmbeddedText()),
            "spectrogram_length": nt.NeuralType(("B",), nt.Lengths()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
            "log_prior": nt.NeuralType(("B", "T", "T"), nt.LogProbs(), optional=True),
            "condition": nt.NeuralType(("B", "T", "D"), nt.EncodedRepresentation(), optional=True),
        }

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``scores`` (B, M, T)."""
        return {"scores": nt.NeuralType(("B", "T", "T"), nt.LogProbs())}

    @nt.typed
    def forward(
        self,
        spectrogram: Tensor,
        embedded: Tensor,
        spectrogram_length: Tensor,
        length: Tensor,
        log_prior: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Return the log-probability of each token at each frame (B, M, T), very negative beyond the end of the text.

        With a prior they are not normalised: a softmax over the tokens makes probabilities of them.
        """
        frames_inside = length_mask(spectrogram_length, spectrogram.shape[2])
        tokens_inside = length_mask(length, embedded.shape[1])
        keys = self.cond_input(embedded, condition) * tokens_inside.unsqueeze(2)
        keys = self.key_proj(keys.transpose(1, 2))
        queries = self.query_proj(spectrogram * frames_inside.unsqueeze(1))
        scores = -self.temperature * self._distance(queries, keys)
        outside = ~tokens_inside.unsqueeze(1)
        scores = scores.masked_fill(outside, _NEVER)
        if log_prior is not None:
            # 1e-8 keeps what the prior calls impossible possible.
            scores = scores.log_softmax(dim=2) + torch.log(log_prior.exp() + 1e-8)
            scores = scores.masked_fill(outside, _NEVER)
        return scores

    def _distance(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return the distance (B, M, T) of all ``queries`` (B, C, M) from all ``keys`` (B, C, T)."""
        if self.dist_type == "cosine":
            return -(F.normalize(queries, dim=1).transpose(1, 2) @ F.normalize(keys, dim=1))
        # |q - k|^2 = |q|^2 + |k|^2 - 2 qk, so that nothing of the size B x C x M x T is ever held.
        squares = queries.square().sum(1).unsqueeze(2) + keys.square().sum(1).unsqueeze(1)
        return torch.baddbmm(squares, queries.transpose(1, 2), keys, alpha=-2)


class _Conv(nn.Module):
    def __init__(self, channels: int, out_channels: int, kernel_size: int, gain: str = "linear") -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, out_channels, kernel_size, padding=kernel_size // 2)
        nn.init.xavier_uniform_(self.conv.weight, nn.init.calculate_gain(gain))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)
