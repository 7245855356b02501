"""What the tokenizers of speech synthesis share: the order of their tokens, blanks, and symbols that have none."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from random import Random

    from nemo_tts.text.base import Normalizer

__all__ = ["PUNCTUATION", "SpeechTokenizer", "spoken"]

logger = logging.getLogger(__name__)

#: The marks that English models know, in the order of their numbers.
PUNCTUATION = (",", ".", "!", "?", "-", ":", ";", "/", '"', "(", ")", "[", "]", "{", "}")

_UNKNOWN = ("error", "skip", "oov")
_SHOWN = 60


class SpeechTokenizer(Configured):
    """Base of tokenizers for speech synthesis: text to symbols, symbols to numbers.

    A subclass says in :meth:`symbols` what a text becomes. Here blanks are made single, none at the ends unless
    ``pad_with_space``, and each symbol gets its number. After the symbols of the subclass come, as in NVIDIA NeMo 2.7,
    ``<pad>``, ``<blank>`` if asked for, and ``<oov>``.

    Args:
        tokens: The symbols, in the order of their numbers.
        normalizer: Writes text in words first; None takes text as it is.
        add_blank_at: ``None``: there is no ``<blank>``; ``last``: it is the last token; any other: before ``<oov>``.
        pad_with_space: Whether a blank is put before and behind each text.
        unknown: What to do with a symbol that has no number: ``error``; ``skip`` it with a warning, once for each
            symbol, and count it in :attr:`skipped`; ``oov`` puts ``<oov>`` there.
        sep: Written between symbols by :meth:`decode`.
        space: The symbol of a blank.

    Attributes:
        tokens: All tokens.
        pad: Number of ``<pad>``.
        blank: Number of ``<blank>``, or None.
        oov: Number of ``<oov>``.
        space: Number of the blank.
        skipped: How often each unknown symbol was left out.
    """

    PAD, BLANK, OOV = "<pad>", "<blank>", "<oov>"

    def __init__(
        self,
        tokens: Iterable[str],
        *,
        normalizer: Normalizer | None = None,
        add_blank_at: str | None = None,
        pad_with_space: bool = False,
        unknown: str = "error",
        sep: str = "",
        space: str = " ",
        oov: str = OOV,
    ) -> None:
        if unknown not in _UNKNOWN:
            raise ConfigError(f"tokenizer: unknown is {unknown!r}, not one of {', '.join(_UNKNOWN)}")
        special = [self.PAD, oov] if add_blank_at is None else [self.PAD, self.BLANK, oov]
        if add_blank_at == "last":
            special = [self.PAD, oov, self.BLANK]
        self.tokens = [*tokens, *special]
        self._ids = {token: index for index, token in enumerate(self.tokens)}
        if space not in self._ids:
            raise ConfigError(f"tokenizer: the blank {space!r} is not among the tokens")
        self.pad, self.oov, self.space = self._ids[self.PAD], self._ids[oov], self._ids[space]
        self.blank = None if add_blank_at is None else self._ids[self.BLANK]
        self.normalizer, self.pad_with_space, self.unknown, self.sep = normalizer, pad_with_space, unknown, sep
        self.skipped: Counter[str] = Counter()

    @property
    def vocabulary(self) -> list[str]:
        """The tokens, in the order of their numbers."""
        return list(self.tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def symbols(self, text: str, random: Random | None = None) -> Sequence[str]:
        """Return the symbols of a normalised text, blanks and punctuation among them."""
        raise NotImplementedError

    def encode(self, text: str, random: Random | None = None) -> list[int]:
        """Return the numbers of the tokens of ``text``.

        Args:
            text: What to encode.
            random: Chooses which words become sounds and which stay letters, where the converter has a
                ``phoneme_probability``; without one, all become sounds.

        Raises:
            DataError: The text has what the tokenizer has no token for, and ``unknown`` is ``error``.
        """
        if self.normalizer is not None:
            text = self.normalizer.normalize(text)
        return self.encode_symbols(self.symbols(text, random))

    def encode_symbols(self, symbols: Sequence[str]) -> list[int]:
        """Return the numbers of symbols, such as those of a transcription that is there already.

        Raises:
            DataError: One of them is not a token, and ``unknown`` is ``error``.
        """
        ids: list[int] = []
        for position, symbol in enumerate(symbols):
            index = self._ids.get(symbol)
            if index is None:
                index = self.space if symbol.isspace() else self._missing(symbols, position)
            if index is not None and not (index == self.space and (not ids or ids[-1] == self.space)):
                ids.append(index)
        if ids and ids[-1] == self.space:
            ids.pop()
        return [self.space, *ids, self.space] if self.pad_with_space else ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the symbols of ``ids``, joined; special tokens are left out.

        Raises:
            DataError: A number is not one of the tokens'.
        """
        special = {self.pad, self.blank, self.oov}
        return self.sep.join(piece for index, piece in zip(ids, self.pieces(ids), strict=True) if index not in special)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the token of each of ``ids``.

        Raises:
            DataError: A number is not one of the tokens'.
        """
        wrong = next((index for index in ids if not 0 <= index < len(self.tokens)), None)
        if wrong is not None:
            raise DataError(f"{wrong} is no token: their numbers are 0 to {len(self.tokens) - 1}")
        return [self.tokens[index] for index in ids]

    def _missing(self, symbols: Sequence[str], position: int) -> int | None:
        symbol = symbols[position]
        if self.unknown == "oov":
            return self.oov
        name = f" ({unicodedata.name(symbol, 'without a name')})" if len(symbol) == 1 else ""
        before = self.sep.join(symbols[max(0, position - _SHOWN // 2) : position + _SHOWN // 2])
        said = f"{symbol!r}{name} at {position} of {before!r} is not in the tokenizer's vocabulary"
        if self.unknown == "error":
            raise DataError(said, hint="normalise the text, add the symbol, or set tokenizer.unknown=skip")
        if symbol not in self.skipped:
            logger.warning("%s; it is left out, here and from now on", said)
        self.skipped[symbol] += 1
        return None


def spoken(g2p: Any, text: str, random: Random | None) -> Sequence[str]:
    """Return the symbols of ``text``; only converters that can leave words in letters are handed ``random``."""
    mixes = random is not None and getattr(g2p, "phoneme_probability", None) is not None
    symbols: Sequence[str] = g2p(text, random) if mixes else g2p(text)
    return symbols
