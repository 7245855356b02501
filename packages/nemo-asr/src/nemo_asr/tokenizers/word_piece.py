"""Subwords as tokens: WordPiece, as BERT has it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError

__all__ = ["SPECIAL_TOKENS", "WordPieceTokenizer", "split_words"]

SPECIAL_TOKENS = ("[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]")
"""What every vocabulary has, at its end if nowhere else."""

_UNKNOWN = "[UNK]"
_INSIDE = "##"  # before a piece that does not begin a word
_LONGEST_WORD = 100


class WordPieceTokenizer(Configured):
    r"""Turns text into subwords and back (Devlin et al., 2019, arXiv:1810.04805).

    Each word becomes the longest pieces that spell it, from left to right; one that no pieces spell becomes ``[UNK]``.
    Marks of punctuation are words of their own, so that decoding puts spaces around them.

    Args:
        vocab_path: BERT's ``vocab.txt``: one token a line, those that do not begin a word with ``##`` before them.
        lowercase: Whether text is lowercased first, and loses its accents.

    Raises:
        ConfigError: The file cannot be read, or has a token twice.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "vocab.txt"
        >>> _ = path.write_text("[UNK]\nplay\n##ing\n##s\n")
        >>> tokenizer = WordPieceTokenizer(path)
        >>> tokens = tokenizer.encode("plays playing")
        >>> tokens, tokenizer.pieces(tokens), tokenizer.decode(tokens)
        ([1, 3, 1, 2], ['play', 's', ' play', 'ing'], 'plays playing')
    """

    def __init__(self, vocab_path: str | Path, lowercase: bool = False) -> None:
        self._content = _read(Path(vocab_path))
        lines = _decoded(self._content, vocab_path).split("\n")
        self._tokens = [line.rstrip("\r") for line in (lines if lines[-1] else lines[:-1])]
        self._tokens += [token for token in SPECIAL_TOKENS if token not in set(self._tokens)]
        self._ids = {token: index for index, token in enumerate(self._tokens)}
        if len(self._ids) != len(self._tokens):
            twice = next(token for index, token in enumerate(self._tokens) if self._ids[token] != index)
            raise ConfigError(f"tokenizer: {vocab_path} has the token {twice!r} twice")
        self.lowercase = lowercase

    @property
    def vocabulary(self) -> list[str]:
        """The tokens, in the order of their numbers, with ``##`` before those that do not begin a word."""
        return list(self._tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the subwords of ``text``."""
        return [index for word in split_words(text, self.lowercase) for index in self._encode_word(word)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``."""
        return "".join(self.pieces(ids))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return what each of ``ids`` adds to the text."""
        tokens = [self._tokens[index] for index in ids]
        inside = [token.removeprefix(_INSIDE) if token.startswith(_INSIDE) else f" {token}" for token in tokens[1:]]
        return [*tokens[:1], *inside]

    def artifacts(self) -> Mapping[str, bytes | Path]:
        """Return the vocabulary, for an archive to keep."""
        return {"vocab_path": self._content}

    def _encode_word(self, word: str) -> list[int]:
        found: list[int] = []
        start = 0
        while start < len(word) <= _LONGEST_WORD:
            prefix = _INSIDE if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self._ids), None)
            if end is None:
                break
            found.append(self._ids[prefix + word[start:end]])
            start = end
        return found if start == len(word) else [self._ids[_UNKNOWN]]


def split_words(text: str, lowercase: bool = False) -> list[str]:
    """Return the words of ``text``; marks of punctuation and Chinese characters are words of their own.

    Example:
        >>> split_words("It's É.", lowercase=True)
        ['it', "'", 's', 'e', '.']
    """
    words = unicodedata.normalize("NFC", "".join(map(_cleaned, text))).split()
    if lowercase:
        words = [_without_accents(word.lower()) for word in words]
    return [part for word in words for part in _split_punctuation(word)]


def _split_punctuation(word: str) -> Iterator[str]:
    start = 0
    for place, character in enumerate(word):
        if _is_punctuation(character):
            yield from filter(None, (word[start:place], character))
            start = place + 1
    if start < len(word):
        yield word[start:]


def _cleaned(character: str) -> str:
    """Return the character: a space for any white space, nothing for control characters, ideographs set apart."""
    category = unicodedata.category(character)
    if category == "Zs" or character in "\t\n\r":
        return " "
    if category.startswith("C") or character == "\ufffd":
        return ""
    return f" {character} " if _is_ideograph(ord(character)) else character


def _without_accents(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")


def _is_punctuation(character: str) -> bool:
    # All that is ASCII and neither a letter nor a digit, also where Unicode calls it a symbol.
    ascii_mark = "!" <= character <= "~" and not character.isalnum()
    return ascii_mark or unicodedata.category(character).startswith("P")


def _is_ideograph(code: int) -> bool:
    return any(
        first <= code <= last
        for first, last in (
            (0x3400, 0x4DBF),
            (0x4E00, 0x9FFF),
            (0xF900, 0xFAFF),
            (0x20000, 0x2A6DF),
            (0x2A700, 0x2CEAF),
            (0x2F800, 0x2FA1F),
        )
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"tokenizer: {path} cannot be read: {error.strerror}") from error


def _decoded(content: bytes, path: str | Path) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"tokenizer: {path} is no list of tokens: it is not UTF-8") from error
    if not text.strip():
        raise ConfigError(f"tokenizer: {path} has no tokens")
    return text
