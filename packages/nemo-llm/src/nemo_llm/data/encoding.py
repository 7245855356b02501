"""Texts to arrays of tokens: as the tokenizer does it, or, where that is sure to be the same, word by word from memory.

Byte-level BPE first cuts a text into pieces with a regular expression and then encodes each piece for itself; and most
pieces of a corpus came before. For the expressions that most such tokenizers have, a text can be cut into coarser
pieces that come out the same by themselves as in their place. The tokens of each are then looked up.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["Encoder", "WordEncoder", "encoder_of"]

# White space as the tokenizers' expressions understand it; Python's \s has four control characters more.
_WIDE = "\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
_SPACE, _INK = f"[\\t-\\r {_WIDE}]", f"[^\\t-\\r {_WIDE}]"
_BLANK = f"[\\t\\x0b\\x0c {_WIDE}]"  # white space that ends no line

# In all of them white space before a word stays alone, but for its last character, which may go with the word.
_WORDS = re.compile(f"{_SPACE}?{_INK}+|{_SPACE}+(?!{_INK})")
# Here the ends of lines go with what stands before them.
_WORDS_AND_LINES = re.compile(
    f"{_BLANK}?{_INK}+(?:{_SPACE}*[\\r\\n]+)?|{_SPACE}*[\\r\\n]+|{_SPACE}+(?!{_INK})|{_SPACE}+"
)
_LINES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_EXPRESSIONS = {
    # GPT-2; byte-level pre-tokenizers have it built in.
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": _WORDS,
    # GPT-4 and Llama 3; and Qwen 2, which takes digits one by one.
    _LINES.format(digits=r"\p{N}{1,3}"): _WORDS_AND_LINES,
    _LINES.format(digits=r"\p{N}"): _WORDS_AND_LINES,
}
_LONGEST = 48  # characters of a piece that is remembered
_MOST = 400_000  # pieces that are remembered


def encoder_of(tokenizer: Tokenizer, dtype: Any, *, parse_special: bool = True) -> Encoder:
    """Return the fastest encoder that gives what ``tokenizer`` gives.

    Args:
        tokenizer: The tokenizer.
        dtype: Type of the tokens.
        parse_special: Whether special tokens that a text spells out are read as such.
    """
    pieces, composed = _cut_of(tokenizer)
    if pieces is None:
        return Encoder(tokenizer, dtype, parse_special)
    return WordEncoder(tokenizer, dtype, parse_special, pieces, composed)


class Encoder:
    """Encodes texts with a tokenizer.

    Args:
        tokenizer: The tokenizer.
        dtype: Type of the tokens.
        parse_special: Whether special tokens that a text spells out are read as such.
    """

    def __init__(self, tokenizer: Tokenizer, dtype: Any, parse_special: bool) -> None:
        self.tokenizer, self.dtype, self.parse_special = tokenizer, np.dtype(dtype), parse_special

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens of all texts (T,), and the number of tokens of each (N,) int64.

        Raises:
            DataError: A text cannot be encoded.
        """
        ids = self.tokenizer.encode_batch(texts, parse_special=self.parse_special)
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        return np.fromiter(chain.from_iterable(ids), self.dtype, int(lengths.sum())), lengths


class WordEncoder(Encoder):
    """Encodes texts piece by piece, and remembers the pieces.

    Args:
        tokenizer: The tokenizer.
        dtype: Type of the tokens.
        parse_special: Whether special tokens that a text spells out are read as such.
        pieces: Cuts a text where the tokenizer does too, and where what it does depends on nothing else.
        composed: Whether the tokenizer composes characters (NFC) first.
    """

    def __init__(
        self, tokenizer: Any, dtype: Any, parse_special: bool, pieces: re.Pattern[str], composed: bool
    ) -> None:
        super().__init__(tokenizer, dtype, parse_special)
        self._pieces, self._composed = pieces, composed
        self._library = tokenizer.tokenizer
        added = [token.content for token in self._library.get_added_tokens_decoder().values() if token.content]
        self._added = re.compile("|".join(map(re.escape, sorted(added, key=len, reverse=True)))) if added else None
        self._known = _Known(self)

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens of all texts (T,), and the number of tokens of each (N,) int64."""
        if len(self._known) > _MOST:
            self._known.clear()
        found = [self._bytes_of_text(text) for text in texts]
        lengths = np.fromiter(map(len, found), np.int64, len(found)) // self.dtype.itemsize
        return np.frombuffer(b"".join(found), self.dtype), lengths

    def bytes_of(self, piece: str) -> bytes:
        """Return the tokens of a piece in bytes."""
        return np.array(self._library.encode(piece, add_special_tokens=False).ids, self.dtype).tobytes()

    def _bytes_of_text(self, text: str) -> bytes:
        """Return the tokens of a text in bytes."""
        if self._is_plain(text):
            return b"".join(map(self._known.__getitem__, self._pieces.findall(text)))
        return np.array(self.tokenizer.encode(text, parse_special=self.parse_special), self.dtype).tobytes()

    def _is_plain(self, text: str) -> bool:
        """Return whether nothing is done to ``text`` as a whole: no added tokens, no composing, no half characters."""
        if self._added is not None and self._added.search(text):
            return False
        if text.isascii():
            return True
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return False
        return not self._composed or unicodedata.is_normalized("NFC", text)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_known"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._known = _Known(self)


class _Known(dict[str, bytes]):
    """Tokens of pieces, in bytes; what is not known is encoded."""

    def __init__(self, encoder: WordEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def __missing__(self, piece: str) -> bytes:
        tokens = self.encoder.bytes_of(piece)
        if len(piece) <= _LONGEST:
            self[piece] = tokens
        return tokens


def _cut_of(tokenizer: Tokenizer) -> tuple[re.Pattern[str] | None, bool]:
    """Return what cuts texts for ``tokenizer``, None if it is of another kind; and whether it composes characters."""
    from nemo_llm.tokenizers import HFTokenizer

    if not isinstance(tokenizer, HFTokenizer):
        return None, False
    parts = json.loads(tokenizer.tokenizer.to_str())
    normalizer, model, cutter = parts["normalizer"], parts["model"], parts["pre_tokenizer"] or {}
    if normalizer is not None and normalizer != {"type": "NFC"}:
        return None, False
    if model["type"] != "BPE" or model.get("dropout"):
        return None, False
    expression = None
    if cutter.get("type") == "ByteLevel":
        expression, byte_level = next(iter(_EXPRESSIONS)), cutter
    elif cutter.get("type") == "Sequence" and len(cutter["pretokenizers"]) == 2:
        split, byte_level = cutter["pretokenizers"]
        if split.get("type") == "Split" and split["behavior"] == "Isolated" and not split["invert"]:
            expression = split["pattern"].get("Regex")
    if expression not in _EXPRESSIONS or byte_level.get("type") != "ByteLevel" or byte_level["add_prefix_space"]:
        return None, False
    if byte_level.get("use_regex", True) != (byte_level is cutter):
        return None, False
    return _EXPRESSIONS[expression], normalizer is not None
