"""Mandarin initials, finals and tones as tokens."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError
from nemo_tts.tokenizers.base import PUNCTUATION, SpeechTokenizer

if TYPE_CHECKING:
    from random import Random

    from nemo_tts.text.base import Normalizer
    from nemo_tts.text.mandarin.g2p import ChineseG2p

__all__ = ["ChinesePhonemesTokenizer"]

_MARKS = (*"，。？！；：、‘’“”（）【】「」《》", *PUNCTUATION)


class ChinesePhonemesTokenizer(SpeechTokenizer):
    """Sounds of Mandarin: a blank, initials and finals, tones, small letters, the apostrophe, punctuation.

    Args:
        g2p: Turns text into phonemes; :class:`~nemo_tts.text.mandarin.ChineseG2p` as it is if not given.
        punct: Whether punctuation is kept, Chinese and plain.
        non_default_punct_list: Marks in the place of the usual ones.
        space: The symbol of a blank.
        silence: A symbol for silence behind the blank, if there shall be one.
        apostrophe: Whether ``'`` is a token.
        sep: Written between symbols by ``decode``.
        add_blank_at: See :class:`SpeechTokenizer`.
        pad_with_space: Whether a blank is put before and behind each text.
        normalizer: Writes text in words first.
        unknown: ``error``, ``skip`` or ``oov``.

    Raises:
        ConfigError: The g2p gives something else than phonemes, or what it needs is not installed.

    Example:
        >>> tokenizer = ChinesePhonemesTokenizer()
        >>> tokenizer.decode(tokenizer.encode("你好。"))
        '#N|#I|#2|#H|#AO|#3|。'
        >>> len(tokenizer)
        117
    """

    def __init__(
        self,
        g2p: ChineseG2p | None = None,
        punct: bool = True,
        non_default_punct_list: Sequence[str] | None = None,
        *,
        space: str = " ",
        silence: str | None = None,
        apostrophe: bool = True,
        sep: str = "|",
        add_blank_at: str | None = None,
        pad_with_space: bool = False,
        normalizer: Normalizer | None = None,
        unknown: str = "error",
    ) -> None:
        if g2p is None:
            from nemo_tts.text.mandarin.g2p import ChineseG2p

            g2p = ChineseG2p()
        if getattr(g2p, "notation", "phonemes") != "phonemes" or getattr(g2p, "english", "letters") != "letters":
            raise ConfigError(
                "tokenizer: the g2p gives other symbols than initials, finals, tones and letters",
                hint="set g2p.notation=phonemes and g2p.english=letters, or take an IPATokenizer",
            )
        self.g2p: Any = g2p
        marks = (_MARKS if non_default_punct_list is None else tuple(non_default_punct_list)) if punct else ()
        tokens = [
            space,
            *([silence] if silence is not None else []),
            *g2p.phoneme_list,
            *g2p.tone_list,
            *string.ascii_lowercase,
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
        )
        self.silence = None if silence is None else self._ids[silence]

    def symbols(self, text: str, random: Random | None = None) -> Sequence[str]:
        """Return the phonemes of ``text``."""
        symbols: Sequence[str] = self.g2p(text)
        return symbols
