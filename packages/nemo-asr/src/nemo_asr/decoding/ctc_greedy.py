"""Greedy decoding of CTC outputs, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["TokenPath", "ctc_greedy_search"]


@dataclass(frozen=True, slots=True)
class TokenPath:
    """The tokens of an utterance, the frames [start, end) in which each is best, and the path's log-probability."""

    tokens: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    score: float


def ctc_greedy_search(log_probs: Tensor, length: Tensor, blank: int) -> list[TokenPath]:
    """Return the best path of each utterance: repeats merged, blanks removed.

    Args:
        log_probs: Log-probabilities (B, T, V + 1).
        length: Frames of each utterance (B,).
        blank: Index of the blank.

    Example:
        >>> best = torch.tensor([[0, 0, 2, 0, 1, 1]])
        >>> path, = ctc_greedy_search(torch.nn.functional.one_hot(best, 3).float().log(), torch.tensor([6]), blank=2)
        >>> path.tokens, path.starts, path.ends
        ((0, 0, 1), (0, 3, 4), (2, 4, 6))
    """
    batch, frames = log_probs.shape[:2]
    if batch == 0 or frames == 0:
        return [TokenPath((), (), (), 0.0)] * batch
    best, labels = log_probs.max(dim=-1)
    inside = torch.arange(frames, device=labels.device) < length.unsqueeze(1)
    scores = best.masked_fill(~inside, 0.0).sum(dim=1).tolist()

    # A run is a stretch of frames with one label, blanks too; it ends where the next of its utterance starts.
    begins = inside.clone()
    begins[:, 1:] &= labels[:, 1:] != labels[:, :-1]
    rows, starts = begins.nonzero(as_tuple=True)
    ends = length[rows].clone()
    same_row = rows[1:] == rows[:-1]
    ends[:-1] = torch.where(same_row, starts[1:], ends[:-1])
    tokens = labels[rows, starts]
    kept = tokens != blank
    counts = torch.bincount(rows[kept], minlength=batch).tolist()
    table = torch.stack((tokens[kept], starts[kept], ends[kept])).cpu()  # one transfer for the whole batch

    paths = []
    for part, score in zip(table.split(counts, dim=1), scores, strict=True):
        token, start, end = (tuple(row) for row in part.tolist())
        paths.append(TokenPath(token, start, end, score))
    return paths
