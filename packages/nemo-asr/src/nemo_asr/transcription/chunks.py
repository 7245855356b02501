"""Cutting long audio where it is quiet, and joining what was heard in the pieces."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from nemo_asr.decoding.hypothesis import Alignment, Hypothesis, Span

__all__ = ["cut_where_quiet", "join"]

_WINDOW = 0.2  # seconds over which energy is taken: shorter than a pause, longer than the closure of a plosive


def cut_where_quiet(samples: np.ndarray, sample_rate: int, longest: float) -> list[np.ndarray]:
    """Return ``samples`` (T,) in pieces of at most ``longest`` seconds.

    Each cut is where the signal has least energy between half of the longest piece and all of it. No piece is shorter
    than a quarter of that.

    Example:
        >>> speech = np.concatenate([np.ones(700), np.zeros(200), np.ones(700)])
        >>> [len(piece) for piece in cut_where_quiet(speech, 1000, longest=1.0)]
        [800, 800]
    """
    most = max(4, int(longest * sample_rate))
    first, half = most // 2, max(1, min(int(_WINDOW * sample_rate), most // 2) // 2)
    pieces = []
    while len(samples) > most:
        last = min(most, len(samples) - most // 4)
        energy = np.concatenate([[0.0], np.cumsum(np.square(samples[first - half : last + half], dtype=np.float64))])
        cut = first + int(np.argmin(energy[2 * half :] - energy[: -2 * half]))
        pieces.append(samples[:cut])
        samples = samples[cut:]
    return [*pieces, samples]


def join(parts: Sequence[Hypothesis]) -> Hypothesis:
    """Return what was heard in the pieces of one audio, which follow each other, as one hypothesis.

    Example:
        >>> whole = join([Hypothesis("oh", -1.0, (2,), 1.5), Hypothesis("no", -2.0, (1,), 0.5)])
        >>> whole.text, whole.score, whole.tokens, whole.duration
        ('oh no', -3.0, (2, 1), 2.0)
    """
    if len(parts) == 1:
        return parts[0]
    ends = itertools.accumulate((part.duration for part in parts), initial=0.0)
    *starts, duration = (round(end, 6) for end in ends)
    error = next((part.error for part in parts if part.error is not None), None)
    if error is not None:
        return Hypothesis("", duration=duration, error=error)
    return Hypothesis(
        " ".join(part.text.strip() for part in parts if part.text.strip()),
        score=sum(part.score for part in parts),
        tokens=tuple(token for part in parts for token in part.tokens),
        duration=duration,
        alignment=_join_times(starts, parts) if parts[0].alignment is not None else None,
    )


def _join_times(starts: Sequence[float], parts: Sequence[Hypothesis]) -> Alignment:
    tokens: list[Span] = []
    for offset, part in zip(starts, parts, strict=True):
        for place, token in enumerate(part.chars):
            between = " " if tokens and not place and not token.text[:1].isspace() else ""
            start, end = (round(offset + seconds, 4) for seconds in (token.start, token.end))
            tokens.append(Span(between + token.text, start, end))
    return Alignment(tuple(tokens))
