"""From words to subtitles that can be read."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nemo_asr.decoding.hypothesis import Alignment, Span

__all__ = ["CueLimits", "split_into_cues"]

_ENDINGS = ".!?…。！？"
_SHORTEST = 0.001  # seconds; what subtitle files can tell apart


@dataclass(frozen=True, slots=True)
class CueLimits:
    """What a viewer can read, after the habits of broadcasters.

    Attributes:
        line: Most characters in a line.
        lines: Most lines.
        seconds: How long a subtitle stays at most.
        least_seconds: How long it stays at least, where the next one leaves room.
        pause: A silence that ends a subtitle, seconds.
    """

    line: int = 42
    lines: int = 2
    seconds: float = 7.0
    least_seconds: float = 1.0
    pause: float = 1.0


def split_into_cues(alignment: Alignment, limits: CueLimits | None = None) -> list[Span]:
    r"""Return the subtitles of ``alignment``: texts of one or more lines, in order, none empty, none overlapping.

    A subtitle ends with a sentence, before a pause, and where the next word would make it too long to read or to stay.
    A word longer than a line, as in scripts without spaces, is broken between its tokens.

    Example:
        >>> words = [("so", 0.0, 0.4), (" it", 0.5, 0.6), (" is.", 0.6, 0.9), (" no", 3.0, 3.2)]
        >>> split_into_cues(Alignment(tuple(Span(*word) for word in words)))
        [Span(text='so it is.', start=0.0, end=1.0), Span(text='no', start=3.0, end=4.0)]
    """
    limits = limits or CueLimits()
    groups: list[list[Span]] = []
    for unit in _units(alignment, limits.line):
        if not groups or _ends(groups[-1], unit, limits):
            groups.append([])
        groups[-1].append(unit)
    return _apart([_cue(group, limits) for group in groups], limits.least_seconds)


def _units(alignment: Alignment, longest: int) -> Iterator[Span]:
    """Yield what is never broken, with a space in front where a word starts."""
    for tokens in alignment.tokens_of_words():
        whole = "".join(token.text for token in tokens)
        if len(whole.split()) == 1 and len(whole) <= longest:
            yield Span(f" {whole.strip()}", tokens[0].start, tokens[-1].end)
        else:
            for place, token in enumerate(tokens):
                text = " ".join(token.text.split())
                yield Span(text if place else f" {text}", token.start, token.end)


def _ends(group: Sequence[Span], following: Span, limits: CueLimits) -> bool:
    """Return whether the subtitle of ``group`` ends before ``following``."""
    if group[-1].text[-1] in _ENDINGS and following.text[0] == " ":
        return True
    if following.start - group[-1].end >= limits.pause or following.end - group[0].start > limits.seconds:
        return True
    return len(_wrap([*group, following], limits)) > limits.lines


def _cue(group: Sequence[Span], limits: CueLimits) -> Span:
    return Span("\n".join(_wrap(group, limits)), group[0].start, group[-1].end)


def _wrap(group: Sequence[Span], limits: CueLimits) -> list[str]:
    text = "".join(unit.text for unit in group).strip()
    return textwrap.wrap(text, limits.line, break_on_hyphens=False)


def _apart(cues: Sequence[Span], least: float) -> list[Span]:
    """Return ``cues`` so that each starts after the one before has ended, and stays ``least`` seconds if it can."""
    placed: list[Span] = []
    for place, cue in enumerate(cues):
        start = max(cue.start, placed[-1].end) if placed else cue.start
        end = max(cue.end, start + least)
        if place + 1 < len(cues):
            end = min(end, cues[place + 1].start)
        placed.append(Span(cue.text, start, max(round(end, 3), round(start + _SHORTEST, 3))))
    return placed
