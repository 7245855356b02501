"""The search for the best monotonic alignment as machine code, where numba is installed: ``nemo-tts[fast]``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["compiled_search"]

Search = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@functools.cache
def compiled_search() -> Search | None:
    """Return the search, or None where there is no numba; its first call compiles it, once for this machine.

    It takes scores (B, M, T), tokens (B,), frames (B,) and a path (B, M) to write into, and returns the score of each
    utterance's path (B,).
    """
    try:
        import numba
    except ImportError:
        return None
    found: Search = numba.njit(_search, nogil=True, cache=True)
    return found


def _search(scores: Any, tokens: Any, frames: Any, path: Any) -> Any:
    batch, steps, width = scores.shape
    ends = np.empty(batch, np.float32)
    came = np.empty((steps, width), np.bool_)
    lowest = np.float32(-np.inf)
    for index in range(batch):
        count, length = tokens[index], frames[index]
        # Before the first token is a place that no path can come from.
        best, after = np.full(1 + width, lowest, np.float32), np.full(1 + width, lowest, np.float32)
        best[1] = scores[index, 0, 0]
        for frame in range(1, length):
            for token in range(count):  # none depends on another: the compiler does many at once
                before, same = best[token], best[token + 1]
                came[frame, token] = before >= same
                after[token + 1] = (before if before >= same else same) + scores[index, frame, token]
            best, after = after, best
        ends[index] = best[count]
        token = count - 1
        for frame in range(length - 1, 0, -1):
            path[index, frame] = token
            if came[frame, token]:
                token -= 1
        path[index, 0] = token
    return ends
