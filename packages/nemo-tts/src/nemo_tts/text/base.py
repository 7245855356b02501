"""What the parts of a text front end are to each other: normalisers, and converters of text to sounds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Dropped", "G2p", "Normalized", "Normalizer", "warn_dropped", "word_set"]

logger = logging.getLogger(__name__)


@runtime_checkable
class Normalizer(Protocol):
    """Writes text the way it is spoken: numbers, dates and abbreviations become words."""

    def normalize(self, text: str) -> str:
        """Return ``text`` in words. What came out, put in again, stays as it is."""
        ...


@runtime_checkable
class G2p(Protocol):
    """Turns graphemes into phonemes: the sounds that a text is read with.

    A distribution of its own can offer another (espeak's, say): a class with these two, derived from
    :class:`nemo_core.config.configured.Configured` and registered with ``registry.module``, is all that
    :class:`~nemo_tts.tokenizers.IPATokenizer` asks for.
    """

    @property
    def symbols(self) -> Sequence[str]:
        """Every symbol of sounds that can come out; punctuation, blanks and letters are not among them."""
        ...

    def __call__(self, text: str) -> list[str]:
        """Return the symbols of ``text`` in order; blanks and punctuation come through as symbols of their own."""
        ...


@dataclass(frozen=True)
class Dropped:
    """A character that nobody can speak.

    Attributes:
        character: The character.
        position: Where in the text, composed (NFC), it stands; counted from 0.
        name: What Unicode calls it.
    """

    character: str
    position: int
    name: str

    def __str__(self) -> str:
        return f"{self.character!r} ({self.name}) at {self.position}"


@dataclass(frozen=True)
class Normalized:
    """A text in words, and what of it could not be said.

    Attributes:
        text: The words.
        dropped: Characters that are not in them.
    """

    text: str
    dropped: tuple[Dropped, ...] = ()


def warn_dropped(dropped: Sequence[Dropped], what: str = "cannot be spoken and were left out") -> None:
    """Log one warning that names the first few of ``dropped``; none where there are none."""
    if dropped:
        more = f" and {len(dropped) - 5} more" if len(dropped) > 5 else ""
        logger.warning("%d characters %s: %s%s", len(dropped), what, ", ".join(map(str, dropped[:5])), more)


def word_set(words: str) -> frozenset[str]:
    """Return the words of a text as a set: a table of words that reads as one.

    >>> sorted(word_set("no yes"))
    ['no', 'yes']
    """
    return frozenset(words.split())
