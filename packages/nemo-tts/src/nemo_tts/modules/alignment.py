"""Which frames belong to which token: the search for the best monotonic alignment, and a prior for it."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from nemo_core.errors import DataError

__all__ = ["beta_binomial_prior", "durations_of", "monotonic_alignment"]


def monotonic_alignment(scores: Tensor, tokens: Tensor, frames: Tensor) -> Tensor:
    """Return the most probable alignment in which time goes forward and no token is left out.

    Each frame belongs to the token of the frame before it, or to the next one; the first frame is of the first token
    and the last of the last (Glow-TTS, Kim et al., NeurIPS 2020). The recursion goes over frames, for all tokens of all
    utterances at once, so that there is no loop over cells. On a tie, time goes to the later token.

    Args:
        scores: Log-probability of each token at each frame (B, M, T).
        tokens: Tokens of each utterance (B,).
        frames: Frames of each utterance (B,); at least as many as tokens.

    Returns:
        The token of each frame (B, M), -1 beyond the ends.

    Raises:
        DataError: An utterance has fewer frames than tokens, or none, or scores that are not finite.

    Example:
        >>> scores = torch.log(torch.tensor([[[0.9, 0.1], [0.6, 0.4], [0.1, 0.9]]]))
        >>> monotonic_alignment(scores, torch.tensor([2]), torch.tensor([3]))
        tensor([[0, 0, 1]])
    """
    batch, steps, width = scores.shape
    token_counts, frame_counts = tokens.tolist(), frames.tolist()
    for index, (count, length) in enumerate(zip(token_counts, frame_counts, strict=True)):
        if not 1 <= count <= min(length, width) or length > steps:
            raise DataError(
                f"utterance {index} of the batch has {length} frames for {count} tokens",
                hint="each token needs a frame: leave out audio that is too short for its text",
            )
    given = scores.detach().float().cpu().numpy().transpose(1, 0, 2)
    # Before the tokens of each utterance is a column that no path can come from; it keeps the utterances apart.
    best = np.empty((steps, batch, width + 1), np.float32)
    best[:, :, 0] = -np.inf
    best[0, :, 1:] = given[0]
    best[0, :, 2:] = -np.inf
    rows = best.reshape(steps, -1)
    came = np.empty(rows.shape[1], np.float32)
    into, by_utterance = came[:-1], came.reshape(batch, width + 1)[:, :-1]
    for before, same, here, score in zip(rows[:-1, :-1], rows[:-1, 1:], best[1:, :, 1:], given[1:], strict=True):
        np.maximum(before, same, out=into)
        np.add(by_utterance, score, out=here)
    path = np.full((batch, steps), -1, np.int64)
    for index, (count, length) in enumerate(zip(token_counts, frame_counts, strict=True)):
        path[index, :length] = _walk_back(best[:length, index, : count + 1])
        if not np.isfinite(best[length - 1, index, count]):
            raise DataError(f"the scores of utterance {index} of the batch are not finite")
    return torch.from_numpy(path).to(scores.device)


def _walk_back(best: np.ndarray) -> list[int]:
    """Return the token of each frame, from the best scores (M, 1 + T) of the paths that end in each cell."""
    # Whether the best path to a cell comes from the token before; as bytes, which Python reads fast one by one.
    width = best.shape[1]
    from_before = (best[:-1, :-1] >= best[:-1, 1:]).tobytes()
    token, path = width - 2, [width - 2]
    for start in range(len(from_before) - width + 1, -1, 1 - width):
        token -= from_before[start + token]
        path.append(token)
    path.reverse()
    return path


def durations_of(path: Tensor, tokens: int) -> Tensor:
    """Return how many frames each of ``tokens`` tokens has (B, T) in an alignment ``path`` (B, M).

    Example:
        >>> durations_of(torch.tensor([[0, 0, 1], [0, -1, -1]]), 2)
        tensor([[2, 1],
                [1, 0]])
    """
    counts = path.new_zeros(path.shape[0], tokens + 1)
    counts.scatter_add_(1, path + 1, torch.ones_like(path))
    return counts[:, 1:]


def beta_binomial_prior(tokens: Tensor, frames: Tensor, scale: float = 1.0) -> Tensor:
    """Return how probable each token is at each frame before anything is known of the audio.

    It is a beta-binomial distribution whose mean goes along the diagonal (One TTS Alignment to Rule Them All, Badlani
    et al., ICASSP 2022): at frame m of M it has alpha = ``scale`` (m + 1) and beta = ``scale`` (M - m).

    Args:
        tokens: Tokens of each utterance (B,).
        frames: Frames of each utterance (B,).
        scale: Larger ones bind the tokens closer to the diagonal.

    Returns:
        Log-probabilities (B, M, T) in float32; very negative beyond the ends.

    Example:
        >>> beta_binomial_prior(torch.tensor([2]), torch.tensor([3])).exp()
        tensor([[[0.7500, 0.2500],
                 [0.5000, 0.5000],
                 [0.2500, 0.7500]]])
    """
    counts = list(zip(tokens.tolist(), frames.tolist(), strict=True))
    prior = torch.full((len(counts), max(m for _, m in counts), max(t for t, _ in counts)), -1e4)
    for row, (count, length) in zip(prior, counts, strict=True):
        row[:length, :count] = _prior(count, length, scale)
    return prior.to(tokens.device)


@functools.lru_cache(maxsize=512)
def _prior(tokens: int, frames: int, scale: float) -> Tensor:
    n = tokens - 1
    k = torch.arange(tokens, dtype=torch.float64)
    alpha = scale * torch.arange(1, frames + 1, dtype=torch.float64).unsqueeze(1)
    beta = scale * torch.arange(frames, 0, -1, dtype=torch.float64).unsqueeze(1)
    choose = math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    joint = torch.lgamma(k + alpha) + torch.lgamma(n - k + beta) - torch.lgamma(n + alpha + beta)
    return (choose + joint - torch.lgamma(alpha) - torch.lgamma(beta) + torch.lgamma(alpha + beta)).float()
