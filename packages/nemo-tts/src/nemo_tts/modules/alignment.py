"""Which frames belong to which token: the search for the best monotonic alignment, and a prior for it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nemo_core.errors import DataError
from nemo_tts.modules.compiled_alignment import compiled_search

__all__ = ["beta_binomial_prior", "durations_of", "monotonic_alignment"]


def monotonic_alignment(scores: Tensor, tokens: Tensor, frames: Tensor) -> Tensor:
    """Return the most probable alignment in which time goes forward and no token is left out.

    Each frame belongs to the token of the frame before it, or to the next one; the first frame is of the first token
    and the last of the last (Glow-TTS, Kim et al., NeurIPS 2020). On a tie, time goes to the later token. With numba
    (``nemo-tts[fast]``) the search is machine code; without, the recursion goes over frames, for all tokens of all
    utterances at once, so that there is no loop over cells.

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
    given = scores.detach().float().cpu().numpy()
    path = np.full((batch, steps), -1, np.int64)
    search = compiled_search() or _search
    ends = search(given, np.array(token_counts), np.array(frame_counts), path)
    if not np.isfinite(ends).all():
        index = int(np.flatnonzero(~np.isfinite(ends))[0])
        raise DataError(f"the scores of utterance {index} of the batch are not finite")
    return torch.from_numpy(path).to(scores.device)


def _search(scores: np.ndarray, tokens: np.ndarray, frames: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Write the best alignments into ``path`` (B, M), and return their scores (B,)."""
    batch, _, width = scores.shape
    counts = list(zip(tokens.tolist(), frames.tolist(), strict=True))
    came, ends = _forward(scores.transpose(1, 0, 2), counts)
    for index, (count, length) in enumerate(counts):
        found = _walk_back(came, batch, width, index, count, length)
        # Bytes become an array much sooner than a list does.
        path[index, :length] = np.frombuffer(bytes(found), np.uint8) if count <= 256 else found
    return np.array(ends)


_BLOCK = 20  # frames whose scores are laid out at a time: few enough to stay in the cache


def _forward(given: np.ndarray, counts: Sequence[tuple[int, int]]) -> tuple[bytearray, list[float]]:
    """Follow the best path to each cell of scores (M, B, T), for utterances of so many tokens and frames.

    Each step is two calls over the cells of all utterances in a row. Before the tokens of each utterance is a column
    that no path can come from; it keeps the utterances apart.

    Returns:
        Whether the best path to each cell comes from the token before, a byte each (M, B, 1 + T), which Python reads
        fast one by one; and the score of each utterance's path to its last cell.
    """
    steps, batch, width = given.shape
    kept = bytearray(steps * batch * (1 + width))
    came = np.frombuffer(kept, np.bool_)
    scores, best = (np.full((rows, batch, 1 + width), -np.inf, np.float32) for rows in (_BLOCK, 1 + _BLOCK))
    best[0, :, 1] = given[0, :, 0]
    ends = [float(best[0, index, count]) for index, (count, _) in enumerate(counts)]
    top = np.full(batch * (1 + width), -np.inf, np.float32)
    flat, rows, into = best.reshape(-1), best.reshape(1 + _BLOCK, -1), top[1:]
    cells = list(zip(rows[:-1, :-1], rows[:-1, 1:], scores.reshape(_BLOCK, -1), rows[1:], strict=True))
    for first in range(1, steps, _BLOCK):
        count = min(_BLOCK, steps - first)
        np.copyto(scores[:count, :, 1:], given[first : first + count])
        for from_before, from_same, score, here in cells[:count]:
            np.maximum(from_before, from_same, out=into)
            np.add(top, score, here)
        # The whole block as one row; what is compared across the ends of rows is never looked at.
        cell, size = first * top.size, count * top.size - 1
        np.greater_equal(flat[:size], flat[1 : 1 + size], out=came[1 + cell : 1 + cell + size])
        for index, (last, length) in enumerate(counts):
            if first < length <= first + count:
                ends[index] = float(best[length - first, index, last])
        rows[0] = rows[count]
    return kept, ends


def _walk_back(came: bytearray, batch: int, width: int, index: int, tokens: int, frames: int) -> list[int]:
    """Return the token of each frame of one utterance, from where the best paths come from (M, B, 1 + T)."""
    row = batch * (1 + width)
    start = index * (1 + width) + 1
    token = tokens - 1
    path = [token := token - came[place + token] for place in range((frames - 1) * row + start, start, -row)]
    path.reverse()
    path.append(tokens - 1)
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
