"""TextGrid, the files of Praat (Boersma and Weenink, praat.org), in the long text format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nemo_asr.decoding.hypothesis import Span

__all__ = ["textgrid"]

_TICKS = 10_000  # in a second: times are whole numbers of them, so that intervals meet exactly


def textgrid(tiers: Mapping[str, Sequence[Span]], duration: float) -> str:
    """Return the content of a TextGrid.

    Praat wants the intervals of a tier to follow each other from beginning to end, and each to last: the gaps become
    intervals without text, a span ends where the next one starts, and those that start together become one interval.

    Args:
        tiers: The spans of each tier, by its name, in the order of their starts.
        duration: Seconds of the audio.

    Example:
        >>> print(textgrid({"words": [Span("no", 0.5, 1.0)]}, duration=1.5))
        File type = "ooTextFile"
        Object class = "TextGrid"
        <BLANKLINE>
        xmin = 0
        xmax = 1.5
        tiers? <exists>
        size = 1
        item []:
            item [1]:
                class = "IntervalTier"
                name = "words"
                xmin = 0
                xmax = 1.5
                intervals: size = 3
                intervals [1]:
                    xmin = 0
                    xmax = 0.5
                    text = ""
                intervals [2]:
                    xmin = 0.5
                    xmax = 1
                    text = "no"
                intervals [3]:
                    xmin = 1
                    xmax = 1.5
                    text = ""
        <BLANKLINE>
    """
    spans = [span for tier in tiers.values() for span in tier]
    last = max((_ticks(duration), 1, *(max(_ticks(span.end), _ticks(span.start) + 1) for span in spans)))
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {_seconds(last)}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, tier) in enumerate(tiers.items(), start=1):
        intervals = _fill(tier, last)
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quote(name)}"]
        lines += ["        xmin = 0", f"        xmax = {_seconds(last)}", f"        intervals: size = {len(intervals)}"]
        for place, (text, start, end) in enumerate(intervals, start=1):
            lines += [f"        intervals [{place}]:", f"            xmin = {_seconds(start)}"]
            lines += [f"            xmax = {_seconds(end)}", f"            text = {_quote(text)}"]
    return "\n".join(lines) + "\n"


def _fill(spans: Sequence[Span], last: int) -> list[tuple[str, int, int]]:
    """Return text, start and end of the intervals that fill 0 to ``last``."""
    said: list[tuple[str, int, int]] = []
    for span in spans:
        text, start, end = span.text, _ticks(span.start), _ticks(span.end)
        if said and start <= said[-1][1]:
            before, start, until = said.pop()
            text, end = f"{before} {text}", max(until, end)
        said.append((text, start, end))
    filled: list[tuple[str, int, int]] = []
    now = 0
    for place, (text, start, end) in enumerate(said):
        if start > now:
            filled.append(("", now, start))
        now = min(max(end, start + 1), said[place + 1][1] if place + 1 < len(said) else last)
        filled.append((text, start, now))
    if now < last:
        filled.append(("", now, last))
    return filled


def _ticks(seconds: float) -> int:
    return round(seconds * _TICKS)


def _seconds(ticks: int) -> str:
    return f"{ticks / _TICKS:.4f}".rstrip("0").rstrip(".")


def _quote(text: str) -> str:
    return '"' + " ".join(text.split()).replace('"', '""') + '"'
