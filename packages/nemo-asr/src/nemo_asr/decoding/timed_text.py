"""Times that a model has written into its text."""

from __future__ import annotations

import re

from nemo_asr.decoding.hypothesis import Alignment, Span

__all__ = ["read_times"]

_TIMED = re.compile(r"<\|(\d+)\|>(.*?)<\|(\d+)\|>")


def read_times(text: str, stride: float, duration: float) -> tuple[str, Alignment]:
    """Return the text without times, and when its words are said.

    Args:
        text: Words between the frames in which they start and end.
        stride: Seconds from one frame to the next.
        duration: Seconds of the audio.

    Example:
        >>> text, alignment = read_times("<|3|> oh<|5|><|6|> no<|8|>", stride=0.08, duration=1.0)
        >>> text, [(word.text, word.start, word.end) for word in alignment.words]
        ('oh no', [('oh', 0.24, 0.4), ('no', 0.48, 0.64)])
    """
    found = [(start, words.strip(), end) for start, words, end in _TIMED.findall(text) if words.strip()]
    if not found:
        return text.strip(), Alignment(())
    spans = tuple(
        Span(f" {words}" if place else words, _seconds(start, stride, duration), _seconds(end, stride, duration))
        for place, (start, words, end) in enumerate(found)
    )
    return " ".join(words for _, words, _ in found), Alignment(spans)


def _seconds(frame: str, stride: float, duration: float) -> float:
    return round(min(int(frame) * stride, duration), 4)
