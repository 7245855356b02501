"""Texts that tokenizers are learned from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nemo_core.errors import DataError

__all__ = ["read_texts"]

_RECORDS = (".json", ".jsonl", ".parquet", ".jsonl.gz")


def read_texts(paths: Sequence[Path], *, key: str = "text", whole: bool = False) -> Iterator[str]:
    r"""Yield the texts of files, one after the other, without holding them.

    Args:
        paths: ``.jsonl``, ``.json`` and ``.parquet`` have a text in each record; files of any other name have a text a
            line.
        key: What that text is called.
        whole: Yield the lines of text files with their ends, and blank lines.

    Raises:
        DataError: A file cannot be read, or a record has no text; the message names the file and the line.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "corpus.txt"
        >>> _ = path.write_text("one two\n\nthree\n")
        >>> list(read_texts([path])), list(read_texts([path], whole=True))
        (['one two', 'three'], ['one two\n', '\n', 'three\n'])
    """
    for path in paths:
        if path.name.endswith(_RECORDS):
            yield from _records(path, key)
        else:
            yield from _lines(path, whole)


def _records(path: Path, key: str) -> Iterator[str]:
    from nemo_llm.data.records import read_records

    for record in read_records(path):
        text = record.values.get(key)
        if not isinstance(text, str):
            raise DataError(f"{record.where}: {key} is {'missing' if text is None else f'{text!r}, not a text'}")
        yield text


def _lines(path: Path, whole: bool) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    text = line.decode("utf-8")
                except UnicodeDecodeError:
                    raise DataError(
                        f"{path}, line {number}: this is not UTF-8", hint="convert the file to UTF-8"
                    ) from None
                if whole:
                    yield text
                elif text.strip():
                    yield text.rstrip("\r\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
