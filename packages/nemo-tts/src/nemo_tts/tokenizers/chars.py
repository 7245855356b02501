"""Letters as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nemo_core.errors import ConfigError
from nemo_tts.tokenizers.alphabets import alphabet
from nemo_tts.tokenizers.base import SpeechTokenizer

if TYPE_CHECKING:
    from random import Random

    from nemo_tts.text.base import G2p, Normalizer

__all__ = [
    "CharsTokenizer",
    "EnglishCharsTokenizer",
    "FrenchCharsTokenizer",
    "GermanCharsTokenizer",
    "GermanPhonemesTokenizer",
    "ItalianCharsTokenizer",
    "SpanishCharsTokenizer",
    "VietnameseCharsTokenizer",
]


class CharsTokenizer(SpeechTokenizer):
    """The letters of a language: a blank, letters, the apostrophe, punctuation.

    Args:
        language: ``en``, ``de``, ``es``, ``fr``, ``it``, ``vi``, or ``de-ipa`` for German in IPA. It says what the
            letters are, and how text is prepared: English loses accents and capitals, German keeps both.
        chars: Letters in the place of the language's.
        punct: Whether punctuation is kept.
        apostrophe: Whether ``'`` is kept.
        non_default_punct_list: Marks in the place of the language's.
        g2p: Turns text into the symbols first: for ``de-ipa``, where text is not in IPA already.
        normalizer: Writes text in words first.
        add_blank_at: See :class:`SpeechTokenizer`; and so for the others.
        pad_with_space: Whether a blank is put before and behind each text.
        unknown: ``error``, ``skip`` or ``oov``.

    Raises:
        ConfigError: The language is not known, or a letter is there twice.

    Example:
        >>> tokenizer = CharsTokenizer("en", pad_with_space=True)
        >>> tokenizer.encode("Café!")
        [0, 3, 1, 6, 5, 30, 0]
        >>> tokenizer.decode([0, 3, 1, 6, 5, 30, 0])
        ' cafe! '
    """

    LANGUAGE = "en"

    def __init__(
        self,
        language: str | None = None,
        chars: str | Sequence[str] | None = None,
        punct: bool = True,
        apostrophe: bool = True,
        add_blank_at: str | None = None,
        pad_with_space: bool = False,
        non_default_punct_list: Sequence[str] | None = None,
        g2p: G2p | None = None,
        normalizer: Normalizer | None = None,
        unknown: str = "error",
    ) -> None:
        self.language = language or self.LANGUAGE
        known = alphabet(self.language)
        letters = list(known.letters if chars is None else chars)
        marks = list(known.marks if non_default_punct_list is None else non_default_punct_list) if punct else []
        twice = next((letter for letter in letters if letters.count(letter) > 1), None)
        if twice is not None:
            raise ConfigError(f"tokenizer: {twice!r} is among the letters twice")
        tokens = [" ", *letters, *(["'"] if apostrophe else []), *marks]
        super().__init__(
            tokens, normalizer=normalizer, add_blank_at=add_blank_at, pad_with_space=pad_with_space, unknown=unknown
        )
        self.g2p = g2p

    def symbols(self, text: str, random: Random | None = None) -> Sequence[str]:
        """Return the characters of ``text`` as the language writes them."""
        if self.g2p is not None:
            return [character for symbol in self.g2p(text) for character in symbol]
        return alphabet(self.language).prepare(text)


class EnglishCharsTokenizer(CharsTokenizer):
    """Small letters without accents: 45 tokens with punctuation.

    >>> len(EnglishCharsTokenizer())
    45
    """


class GermanCharsTokenizer(CharsTokenizer):
    """Capitals and small letters of German."""

    LANGUAGE = "de"


class SpanishCharsTokenizer(CharsTokenizer):
    """Small letters of Spanish."""

    LANGUAGE = "es"


class FrenchCharsTokenizer(CharsTokenizer):
    """Small letters of French."""

    LANGUAGE = "fr"


class ItalianCharsTokenizer(CharsTokenizer):
    """Small letters of Italian."""

    LANGUAGE = "it"


class VietnameseCharsTokenizer(CharsTokenizer):
    """Capitals and small letters of Vietnamese; text is written in small ones."""

    LANGUAGE = "vi"


class GermanPhonemesTokenizer(CharsTokenizer):
    """German in IPA, one character a token; with a ``g2p`` (of espeak, say), from text."""

    LANGUAGE = "de-ipa"
