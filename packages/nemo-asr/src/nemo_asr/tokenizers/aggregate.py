"""One tokenizer made of one per language."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

from nemo_asr.tokenizers.base import Tokenizer
from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["AggregateTokenizer"]

_SPACE = "▁"  # how SentencePiece writes a space in a piece


class AggregateTokenizer(Configured):
    """The tokens of several languages one after the other, each language with a tokenizer of its own.

    Text is encoded in the language that it is said to be in. Tokens know their language, so that decoding needs none,
    and a text may have several: its pieces are joined as they are.

    Args:
        tokenizers: The tokenizer of each language, in the order of their tokens.

    Example:
        >>> from nemo_asr.tokenizers import CharTokenizer
        >>> tokenizer = AggregateTokenizer({"en": CharTokenizer(" abc"), "de": CharTokenizer(" abä")})
        >>> tokenizer.encode("ab", lang="en"), tokenizer.encode("ab", lang="de")
        ([1, 2], [5, 6])
        >>> tokenizer.decode([1, 2, 4, 7]), tokenizer.language(7)
        ('ab ä', 'de')
    """

    def __init__(self, tokenizers: Mapping[str, Tokenizer]) -> None:
        if not tokenizers:
            raise ConfigError("tokenizer: there are no tokenizers", hint="give one per language: {en: ..., de: ...}")
        self.tokenizers = {str(language): tokenizer for language, tokenizer in tokenizers.items()}
        self._pieces = [piece for tokenizer in self.tokenizers.values() for piece in tokenizer.vocabulary]
        ends = list(accumulate(len(tokenizer) for tokenizer in self.tokenizers.values()))
        self._starts = [0, *ends[:-1]]
        self._offsets = dict(zip(self.tokenizers, self._starts, strict=True))

    @property
    def languages(self) -> list[str]:
        """The languages, in the order of their tokens."""
        return list(self.tokenizers)

    @property
    def vocabulary(self) -> list[str]:
        """The tokens of all languages, in the order of their numbers; a token can be there more than once."""
        return list(self._pieces)

    def __len__(self) -> int:
        return len(self._pieces)

    def encode(self, text: str, lang: str | None = None) -> list[int]:
        """Return the numbers of the tokens of ``text``.

        Args:
            text: What to encode.
            lang: The language that it is in; may be left out where there is only one.

        Raises:
            DataError: The language is not given or not known, or the text has what its tokenizer does not know.
        """
        if lang is None and len(self.tokenizers) == 1:
            lang = self.languages[0]
        if lang is None:
            raise DataError(
                f"the language of {text!r} is not known, and the tokenizer has {', '.join(self.languages)}",
                hint="say it in the field lang of the manifest",
            )
        if lang not in self.tokenizers:
            raise DataError(
                f"the tokenizer has no language {lang!r}",
                hint=did_you_mean(lang, self.languages) or f"it has {', '.join(self.languages)}",
            )
        offset = self._offsets[lang]
        return [offset + token for token in self.tokenizers[lang].encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``: what their pieces spell."""
        return "".join(self.pieces(ids))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return what each of ``ids`` adds to the text."""
        return [self._pieces[index].replace(_SPACE, " ") for index in ids]

    def language(self, index: int) -> str:
        """Return the language of the token ``index``."""
        return self.languages[bisect_right(self._starts, index) - 1]

    def offset(self, lang: str) -> int:
        """Return the number of the first token of ``lang``."""
        return self._offsets[lang]
