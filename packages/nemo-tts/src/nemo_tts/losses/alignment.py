"""What an aligner learns from: all alignments together, and the best one alone."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.modules import Loss
from nemo_tts.losses.masked import masked_mean
from nemo_tts.modules.masks import length_mask

__all__ = ["BinarizationLoss", "ForwardSumLoss"]

_NEVER = -1e4


class ForwardSumLoss(Loss):
    """Negative log-probability of all monotonic alignments together, per token (Badlani et al., ICASSP 2022).

    It is CTC, whose text is the tokens' places 1, 2, ..., with a blank that costs the same at each frame.

    Args:
        blank_logprob: Score of the blank before all scores of a frame are normalised.

    Example:
        >>> import torch
        >>> scores = torch.zeros(1, 4, 2).log_softmax(2)
        >>> round(float(ForwardSumLoss()(scores, torch.tensor([2]), torch.tensor([4]))), 4)
        0.8294
    """

    def __init__(self, blank_logprob: float = -1.0) -> None:
        super().__init__()
        self.blank_logprob = blank_logprob

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``scores`` (B, M, T), ``length`` (B,) in tokens, ``spectrogram_length`` (B,) in frames."""
        return {
            "scores": nt.NeuralType(("B", "T", "T"), nt.LogProbs()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
            "spectrogram_length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @nt.typed
    def forward(self, scores: Tensor, length: Tensor, spectrogram_length: Tensor) -> Tensor:
        """Return the loss, the mean over utterances."""
        tokens = scores.shape[2]
        outside = ~length_mask(length, tokens).unsqueeze(1)
        scores = F.pad(scores.float().masked_fill(outside, _NEVER), (1, 0), value=self.blank_logprob)
        places = (length.new_ones(tokens).cumsum(0)).expand(len(scores), tokens)
        return F.ctc_loss(
            scores.log_softmax(dim=2).transpose(0, 1), places, spectrogram_length, length, zero_infinity=True
        )


class BinarizationLoss(Loss):
    """Negative log-probability of the best alignment: makes soft alignments as sharp as the hard one.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[[0.0, 0.0]]])
        >>> round(float(BinarizationLoss()(scores, torch.tensor([[1]]), torch.tensor([1]))), 4)
        0.6931
    """

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``scores`` (B, M, T), ``path`` (B, M): the token of each frame, ``spectrogram_length`` (B,) in frames."""
        return {
            "scores": nt.NeuralType(("B", "T", "T"), nt.LogProbs()),
            "path": nt.NeuralType(("B", "T"), nt.Labels()),
            "spectrogram_length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @nt.typed
    def forward(self, scores: Tensor, path: Tensor, spectrogram_length: Tensor) -> Tensor:
        """Return the loss, the mean over frames."""
        log_probs = scores.float().log_softmax(dim=2)
        chosen = log_probs.gather(2, path.clamp(min=0).unsqueeze(2)).squeeze(2)
        return -masked_mean(chosen.clamp(min=-27.6), spectrogram_length)  # log of 1e-12
