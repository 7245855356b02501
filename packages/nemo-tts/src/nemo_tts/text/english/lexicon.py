"""The dictionary of pronunciations that comes with the package: CMUdict, searched where it lies.

126,000 words as a Python dict would take a good part of a second to build. Here they stay one block of bytes, a line a
word in the order of the words, and a word is found by bisection: some twenty comparisons.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from nemo_core.errors import DataError
from nemo_tts.text.english.phones import SYMBOLS

__all__ = ["Lexicon", "read_cmudict"]

# A line is the word, a tab, and its pronunciations with blanks between, each sound one byte from 0x80 on.
_FIRST = 0x80
_SOUNDS = {symbol: _FIRST + number for number, symbol in enumerate(SYMBOLS)}
_VARIANT = re.compile(r"\(\d+\)$")


class Lexicon:
    """Words with their pronunciations in ARPABET; the first of several is the usual one.

    Args:
        content: What :meth:`pack` returns.

    Example:
        >>> lexicon = Lexicon.shipped()
        >>> lexicon.lookup("tomato")
        [('T', 'AH0', 'M', 'EY1', 'T', 'OW2'), ('T', 'AH0', 'M', 'AA1', 'T', 'OW2')]
        >>> lexicon.lookup("gleeking")
        []
    """

    def __init__(self, content: bytes) -> None:
        try:
            self._lines = zlib.decompress(content)
        except zlib.error as error:
            raise DataError(f"this is no packed dictionary: {error}") from None
        self._count = self._lines.count(b"\n")

    @classmethod
    def shipped(cls) -> Lexicon:
        """Return CMUdict, which is read once."""
        return _shipped()

    @classmethod
    def of(cls, entries: Iterable[tuple[str, Iterable[str]]]) -> Lexicon:
        """Return a lexicon of ``entries``, words with the sounds of one pronunciation each.

        >>> Lexicon.of([("nemo", ["N", "IY1", "M", "OW0"])]).lookup("Nemo")
        [('N', 'IY1', 'M', 'OW0')]
        """
        return cls(pack(entries))

    def __len__(self) -> int:
        return self._count

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self._find(word) is not None

    def lookup(self, word: str) -> list[tuple[str, ...]]:
        """Return the pronunciations of ``word``, whatever its case; none if it is not there."""
        line = self._find(word)
        return [] if line is None else _unpack(line)

    def items(self) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
        """Go through all words and their pronunciations, in the order of the words."""
        for line in self._lines.splitlines():
            word, _, sounds = line.partition(b"\t")
            yield word.decode("ascii"), _unpack(sounds)

    def _find(self, word: str) -> bytes | None:
        if not word.isascii():
            return None
        wanted = word.lower().encode()
        lines, low, high = self._lines, 0, len(self._lines)
        while low < high:
            start = lines.rfind(b"\n", low, (low + high) // 2) + 1 or low
            end = lines.index(b"\n", start)
            found, _, sounds = lines[start:end].partition(b"\t")
            if found == wanted:
                return sounds
            if found < wanted:
                low = end + 1
            else:
                high = start
        return None


def pack(entries: Iterable[tuple[str, Iterable[str]]]) -> bytes:
    """Return words and pronunciations as :class:`Lexicon` reads them.

    Args:
        entries: A word and the sounds of one pronunciation; a word may come again with another one.

    Raises:
        DataError: A word has blanks or is not ASCII, or a sound is not one of ARPABET.
    """
    words: dict[bytes, list[bytes]] = {}
    for word, phones in entries:
        if not word.isascii() or not word or len(word.split()) != 1:
            raise DataError(f"{word!r} cannot be a word of a dictionary: it has blanks, or is not ASCII")
        phones = list(phones)
        unknown = next((phone for phone in phones if phone not in _SOUNDS), None)
        if unknown is not None or not phones:
            raise DataError(f"{word}: {unknown or 'nothing'!r} is no sound of ARPABET with stress")
        sounds = bytes(_SOUNDS[phone] for phone in phones)
        spoken = words.setdefault(word.lower().encode(), [])
        if sounds not in spoken:
            spoken.append(sounds)
    lines = (word + b"\t" + b" ".join(spoken) + b"\n" for word, spoken in sorted(words.items()))
    return zlib.compress(b"".join(lines), 9)


def _unpack(sounds: bytes) -> list[tuple[str, ...]]:
    return [tuple(SYMBOLS[byte - _FIRST] for byte in spoken) for spoken in sounds.split(b" ")]


def read_cmudict(path: str | Path) -> Iterator[tuple[str, list[str]]]:
    """Go through a file in CMUdict's format: ``WORD  S AW1 N D Z``, variants as ``WORD(2)``, comments after ``#``.

    NVIDIA NeMo's dictionaries, which begin comments with ``;;;``, are read as well.

    Args:
        path: The file, UTF-8 or Latin-1.

    Raises:
        DataError: The file cannot be read, or a line has a word without sounds.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(";;;"):
            continue
        word, *phones = line.partition("#")[0].split() or [""]
        if not word:
            continue
        if not phones:
            raise DataError(f"{path}, line {number}: {word!r} has no sounds")
        yield _VARIANT.sub("", word).lower(), phones


@cache
def _shipped() -> Lexicon:
    return Lexicon((files("nemo_tts.text.english") / "data" / "cmudict.bin").read_bytes())
