"""Tokenizers of models that are told in a prompt what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from nemo_asr.tokenizers.aggregate import AggregateTokenizer
from nemo_asr.tokenizers.base import Tokenizer
from nemo_asr.tokenizers.sentence_piece import SentencePieceTokenizer
from nemo_asr.tokenizers.special_tokens import is_special
from nemo_core.errors import ConfigError, DataError

__all__ = ["CanaryBPETokenizer", "CanaryTokenizer", "PromptTokenizer"]

_END, _PAD = "<|endoftext|>", "<pad>"
_SPECIAL = "spl_tokens"
_TIME = re.compile(r"(<\|\d+\|>)")
# Models of one version call languages en, those of the next en-US.
_REGIONS = {"en": "en-US", "es": "es-ES", "fr": "fr-FR", "de": "de-DE"}


class PromptTokenizer(Tokenizer, Protocol):
    """What models with prompts need of a tokenizer."""

    @property
    def special(self) -> Mapping[str, int]:
        """The numbers of the special tokens, ``<|endoftext|>`` and others."""
        ...

    @property
    def end(self) -> int:
        """The token that ends a text."""
        ...

    @property
    def padding(self) -> int:
        """The token that stands for nothing."""
        ...

    def encode_parts(self, parts: Sequence[str], lang: str) -> list[int]:
        """Return the tokens of ``parts``, special tokens and text in the language ``lang``, one after the other."""
        ...


class CanaryTokenizer(AggregateTokenizer):
    """Special tokens and one tokenizer per language, as Canary has them (Puvvada et al., 2024, arXiv:2406.19674).

    Args:
        tokenizers: The tokenizer of each language; that of the special tokens is called ``spl_tokens``.

    Example:
        >>> from nemo_asr.tokenizers import CharTokenizer, SpecialTokens
        >>> tokenizer = CanaryTokenizer({"spl_tokens": SpecialTokens(["en"]), "en": CharTokenizer(" abc")})
        >>> tokens = tokenizer.encode_parts(["<|en|>", "a cab", "<|endoftext|>"], lang="en")
        >>> tokenizer.decode(tokens), tokens[-1] == tokenizer.end
        ('<|en|>a cab<|endoftext|>', True)
    """

    def __init__(self, tokenizers: Mapping[str, Tokenizer]) -> None:
        super().__init__(tokenizers)
        if _SPECIAL not in self.tokenizers:
            raise ConfigError(f"tokenizer: there is no {_SPECIAL} among {', '.join(self.languages)}")
        pieces = self.tokenizers[_SPECIAL].vocabulary
        self.special = _special_tokens(enumerate(pieces, start=self.offset(_SPECIAL)))

    @property
    def end(self) -> int:
        """The token that ends a text."""
        return self.special[_END]

    @property
    def padding(self) -> int:
        """The token that stands for nothing."""
        return self.special[_PAD]

    def encode_parts(self, parts: Sequence[str], lang: str) -> list[int]:
        """Return the tokens of ``parts``, special tokens and text in the language ``lang``, one after the other.

        Times in a text, ``<|12|>``, become the tokens that they are.

        Raises:
            DataError: A special token or the language is not known.
        """
        tokens: list[int] = []
        for part in parts:
            for piece in filter(None, _TIME.split(part)):
                if is_special(piece):
                    tokens.append(_lookup(self.special, piece))
                else:
                    # Beside times, spaces say nothing: each stretch of words begins with one of its own.
                    text = piece if piece == part else piece.strip()
                    tokens += self.encode(text, self._region(lang)) if text else []
        return tokens

    def _region(self, lang: str) -> str:
        return _REGIONS[lang] if lang not in self.tokenizers and _REGIONS.get(lang) in self.tokenizers else lang


class CanaryBPETokenizer(SentencePieceTokenizer):
    """One SentencePiece model that has special tokens among its own, whatever the language.

    Args:
        model_path: The SentencePiece model.

    Raises:
        ConfigError: It lacks ``<|endoftext|>`` or ``<pad>``.
    """

    def __init__(self, model_path: str | Path) -> None:
        super().__init__(model_path)
        self.special = _special_tokens(enumerate(self.vocabulary))

    @property
    def end(self) -> int:
        """The token that ends a text."""
        return self.special[_END]

    @property
    def padding(self) -> int:
        """The token that stands for nothing."""
        return self.special[_PAD]

    def encode_parts(self, parts: Sequence[str], lang: str) -> list[int]:
        """Return the tokens of ``parts``, which are encoded as one text; the language says nothing.

        Raises:
            DataError: A special token is not known.
        """
        for part in parts:
            if is_special(part):
                _lookup(self.special, part)
        return self.encode("".join(parts))


def _special_tokens(numbered: Iterable[tuple[int, str]]) -> dict[str, int]:
    special = {piece: index for index, piece in numbered if is_special(piece)}
    missing = [token for token in (_END, _PAD) if token not in special]
    if missing:
        raise ConfigError(f"tokenizer: there is no special token {' and no '.join(missing)}")
    return special


def _lookup(special: Mapping[str, int], token: str) -> int:
    if token not in special:
        names = [name for name in special if not _TIME.fullmatch(name)]
        raise DataError(f"the tokenizer has no special token {token}", hint=f"it has {' '.join(names)}")
    return special[token]
