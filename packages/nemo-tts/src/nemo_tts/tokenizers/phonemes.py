"""English sounds as tokens, in ARPABET."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError
from nemo_tts.text.english.phones import CONSONANTS, STRESSES, VOWELS, without_stress
from nemo_tts.tokenizers.base import PUNCTUATION, SpeechTokenizer, spoken

if TYPE_CHECKING:
    from random import Random

    from nemo_tts.text.base import Normalizer
    from nemo_tts.text.english.g2p import EnglishG2p

__all__ = ["EnglishPhonemesTokenizer"]


class EnglishPhonemesTokenizer(SpeechTokenizer):
    """Sounds of English: a blank, consonants, vowels, letters if asked for, the apostrophe, punctuation.

    Args:
        g2p: Turns text into ARPABET; :class:`~nemo_tts.text.english.EnglishG2p` as it is if not given.
        punct: Whether punctuation is kept.
        non_default_punct_list: Marks in the place of the usual ones.
        stresses: Whether a vowel has a token for each stress, or one alone.
        chars: Whether small letters are tokens too. They are wherever the g2p has a ``phoneme_probability``, which
            leaves words in letters.
        space: The symbol of a blank.
        silence: A symbol for silence behind the blank, if there shall be one.
        apostrophe: Whether ``'`` is a token.
        oov: The symbol of what has none.
        sep: Written between symbols by ``decode``.
        add_blank_at: See :class:`SpeechTokenizer`.
        pad_with_space: Whether a blank is put before and behind each text.
        normalizer: Writes text in words first.
        unknown: ``error``, ``skip`` or ``oov``.

    Raises:
        ConfigError: The g2p does not give ARPABET.

    Example:
        >>> tokenizer = EnglishPhonemesTokenizer(stresses=True)
        >>> tokenizer.decode(tokenizer.encode("Hello, world"))
        'HH|AH0|L|OW1|,| |W|ER1|L|D'
        >>> len(tokenizer)
        88
    """

    def __init__(
        self,
        g2p: EnglishG2p | None = None,
        punct: bool = True,
        non_default_punct_list: Sequence[str] | None = None,
        stresses: bool = False,
        chars: bool = False,
        *,
        space: str = " ",
        silence: str | None = None,
        apostrophe: bool = True,
        oov: str = SpeechTokenizer.OOV,
        sep: str = "|",
        add_blank_at: str | None = None,
        pad_with_space: bool = False,
        normalizer: Normalizer | None = None,
        unknown: str = "error",
    ) -> None:
        if g2p is None:
            from nemo_tts.text.english.g2p import EnglishG2p

            g2p = EnglishG2p()
        if getattr(g2p, "notation", "arpabet") != "arpabet":
            raise ConfigError("tokenizer: the g2p gives IPA", hint="take an IPATokenizer, or notation: arpabet")
        self.g2p: Any = g2p
        self.stresses = stresses
        self.chars = chars or getattr(g2p, "phoneme_probability", None) is not None
        marks = (PUNCTUATION if non_default_punct_list is None else tuple(non_default_punct_list)) if punct else ()
        tokens = [
            space,
            *([silence] if silence is not None else []),
            *CONSONANTS,
            *([vowel + stress for vowel in VOWELS for stress in STRESSES] if stresses else VOWELS),
            *(string.ascii_lowercase if self.chars else ""),
            *(["'"] if apostrophe else []),
            *marks,
        ]
        super().__init__(
            tokens,
            normalizer=normalizer,
            add_blank_at=add_blank_at,
            pad_with_space=pad_with_space,
            unknown=unknown,
            sep=sep,
            space=space,
            oov=oov,
        )
        self.silence = None if silence is None else self._ids[silence]

    def symbols(self, text: str, random: Random | None = None) -> Sequence[str]:
        """Return the sounds of ``text``."""
        symbols = spoken(self.g2p, text, random)
        return symbols if self.stresses else [self._plain(symbol) for symbol in symbols]

    def _plain(self, symbol: str) -> str:
        return without_stress(symbol) if len(symbol) == 3 else symbol
