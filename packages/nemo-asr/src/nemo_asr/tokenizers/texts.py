"""Texts that tokenizers are learned from."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from nemo_core.errors import DataError

__all__ = ["draw", "read_texts"]

_MANIFESTS = (".json", ".jsonl")


def read_texts(paths: Sequence[Path]) -> Iterator[str]:
    r"""Yield the texts of files, one after the other, without holding them.

    Args:
        paths: Manifests (``.json``, ``.jsonl``), and files of any other name, which have a text a line. Blank lines are
            passed over.

    Raises:
        DataError: A file cannot be read, or a line is no text; the message names the file and the line.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "corpus.txt"
        >>> _ = path.write_text("one two\n\nthree\n")
        >>> list(read_texts([path]))
        ['one two', 'three']
    """
    for path in paths:
        yield from _manifest(path) if path.suffix in _MANIFESTS else _lines(path)


def draw(texts: Iterable[str], count: int, seed: int = 0) -> list[str]:
    """Return ``count`` of the texts, each as likely as any other (Vitter's algorithm R, 1985).

    Example:
        >>> len(draw(map(str, range(100)), 10)), draw(["a"], 10)
        (10, ['a'])
    """
    rng = random.Random(seed)
    drawn: list[str] = []
    for place, text in enumerate(texts):
        if place < count:
            drawn.append(text)
        elif (slot := rng.randrange(place + 1)) < count:
            drawn[slot] = text
    return drawn


def _manifest(path: Path) -> Iterator[str]:
    from nemo_core.audio.manifest import Manifest

    for entry in Manifest(path, require_text=True):
        if entry.text and entry.text.strip():
            yield entry.text.strip()


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if text := _decoded(line, f"{path}, line {number}").strip():
                    yield text
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: this is not UTF-8", hint="convert the file to UTF-8") from error
