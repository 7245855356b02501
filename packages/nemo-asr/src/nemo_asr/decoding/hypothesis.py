"""What recognition returns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nemo_core.errors import NemoError

__all__ = ["Alignment", "Hypothesis", "Span"]


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text and when it is said, seconds from the start of the audio."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Alignment:
    """When each token of a text is said; words and segments follow from it.

    ``tokens`` spell the text when they are joined, spaces included, whether they are characters or subwords.

    Example:
        >>> times = [("o", 0.1, 0.2), ("h", 0.2, 0.3), (" ", 0.3, 0.5), ("n", 0.5, 0.6), ("o", 0.7, 0.9)]
        >>> alignment = Alignment(tuple(Span(*each) for each in times))
        >>> [(word.text, word.start, word.end) for word in alignment.words]
        [('oh', 0.1, 0.3), ('no', 0.5, 0.9)]
    """

    tokens: tuple[Span, ...]

    @property
    def words(self) -> tuple[Span, ...]:
        """The words: what stands between spaces."""
        return tuple(_join(pieces, "") for pieces in self.tokens_of_words())

    def tokens_of_words(self) -> list[list[Span]]:
        """Return the tokens of each word, the spaces around it left out."""
        words: list[list[Span]] = []
        pieces: list[Span] = []
        for token in self.tokens:
            if token.text[:1].isspace() and pieces:
                words.append(pieces)
                pieces = []
            if not token.text.isspace():
                pieces.append(Span(token.text.lstrip(), token.start, token.end) if not pieces else token)
            if token.text[-1:].isspace() and pieces:
                words.append(pieces)
                pieces = []
        return [*words, pieces] if pieces else words

    def segments(self, endings: str = ".!?") -> tuple[Span, ...]:
        """Return the stretches of words that end in one of ``endings`` (the last one may end without)."""
        segments: list[Span] = []
        words: list[Span] = []
        for word in self.words:
            words.append(word)
            if word.text[-1] in endings:
                segments.append(_join(words, " "))
                words = []
        if words:
            segments.append(_join(words, " "))
        return tuple(segments)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What was heard in one audio.

    Attributes:
        text: The transcript.
        score: Log-probability of the best path; higher is surer.
        tokens: Numbers of the tokens.
        duration: Seconds of the audio.
        alignment: When the tokens are said, if timestamps were asked for.
        source: Name of the audio: a path, or its place in the input.
        reference: What was to be heard, where a manifest says so.
        error: Why there is no transcript; None where there is one.
    """

    text: str
    score: float = 0.0
    tokens: tuple[int, ...] = ()
    duration: float = 0.0
    alignment: Alignment | None = None
    source: str = ""
    reference: str | None = None
    error: NemoError | None = field(default=None, compare=False)

    @property
    def chars(self) -> tuple[Span, ...]:
        """The tokens with their times; empty if timestamps were not asked for."""
        return self.alignment.tokens if self.alignment else ()

    @property
    def words(self) -> tuple[Span, ...]:
        """The words with their times; empty if timestamps were not asked for."""
        return self.alignment.words if self.alignment else ()

    @property
    def segments(self) -> tuple[Span, ...]:
        """The segments with their times; empty if timestamps were not asked for."""
        return self.alignment.segments() if self.alignment else ()


def _join(spans: Sequence[Span], separator: str) -> Span:
    return Span(separator.join(_texts(spans)).rstrip(), spans[0].start, spans[-1].end)


def _texts(spans: Iterable[Span]) -> Iterable[str]:
    return (span.text for span in spans)
