"""Sounds of any language as tokens, in the International Phonetic Alphabet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError
from nemo_tts.tokenizers.alphabets import punctuation
from nemo_tts.tokenizers.base import SpeechTokenizer, spoken

if TYPE_CHECKING:
    from random import Random

    from nemo_tts.text.base import G2p, Normalizer

__all__ = ["IPATokenizer"]


class IPATokenizer(SpeechTokenizer):
    """Sounds in IPA: what the converter can give and punctuation, sorted; then a blank.

    Args:
        g2p: Turns text into IPA and says in ``symbols`` what can come out; English if not given.
        locale: Such as ``en-US`` or ``de-DE``: whose punctuation.
        punct: Whether punctuation is kept.
        non_default_punct_list: Marks in the place of the locale's.
        fixed_vocab: Symbols in the place of the g2p's.
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
        ConfigError: The g2p does not say what its symbols are.

    Example:
        >>> tokenizer = IPATokenizer(sep="")
        >>> tokenizer.decode(tokenizer.encode("Hello, world"))
        'həlˈoʊ, wˈɝld'
    """

    def __init__(
        self,
        g2p: G2p | None = None,
        locale: str | None = "en-US",
        punct: bool = True,
        non_default_punct_list: Sequence[str] | None = None,
        fixed_vocab: Sequence[str] | None = None,
        *,
        space: str = " ",
        silence: str | None = None,
        apostrophe: bool = False,
        oov: str = SpeechTokenizer.OOV,
        sep: str = "|",
        add_blank_at: str | None = None,
        pad_with_space: bool = False,
        normalizer: Normalizer | None = None,
        unknown: str = "error",
    ) -> None:
        if g2p is None:
            from nemo_tts.text.english.g2p import EnglishG2p

            g2p = EnglishG2p("ipa")
        symbols = getattr(g2p, "symbols", None) if fixed_vocab is None else fixed_vocab
        if symbols is None:
            raise ConfigError(
                f"tokenizer: {type(g2p).__qualname__} does not say what its symbols are",
                hint="give it a property symbols, or set tokenizer.fixed_vocab",
            )
        self.g2p: Any = g2p
        self.locale = locale
        known = set(symbols)
        if getattr(g2p, "phoneme_probability", None) is not None and not getattr(g2p, "lists_letters", False):
            known |= set("abcdefghijklmnopqrstuvwxyz")
        if apostrophe:
            known.add("'")
        if punct:
            language = locale.partition("-")[0] if locale else None
            known |= set(punctuation(language) if non_default_punct_list is None else non_default_punct_list)
        tokens = sorted(known)
        tokens += [] if space in known else [space]
        tokens += [] if silence is None else [silence]
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
        return spoken(self.g2p, text, random)
