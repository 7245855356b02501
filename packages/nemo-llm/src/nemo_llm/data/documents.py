"""Documents in files: found, cut into parts that can be read independently of each other, and read."""

from __future__ import annotations

import functools
import glob
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from nemo_core.errors import DataError, NemoError

__all__ = ["Bad", "Documents", "Part", "TextUnit", "find_files", "parts", "read"]

TextUnit = Literal["file", "paragraph", "line"]
Bad = tuple[int, str]
"""Number of a line (or row) in its part, from 0, and what is wrong with it."""

_KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".txt": "text",
    ".text": "text",
    ".parquet": "parquet",
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True)
class Part:
    """A piece of a file that begins and ends with documents.

    Attributes:
        path: The file.
        kind: ``jsonl``, ``text`` or ``parquet``.
        start: First byte; of a Parquet file, the number of the row group.
        end: Byte after the last.
        content: The bytes themselves, where they have to be read in a row, as those of a compressed file.
        size: How much of the file it is, in bytes as stored.
    """

    path: str
    kind: str
    start: int
    end: int
    size: int
    content: bytes | None = None


@dataclass
class Documents:
    """What a part holds.

    Attributes:
        texts: The documents that are not empty.
        lines: Line (or row) of each in the part, from 0.
        count: Lines (or rows) in the part.
        empty: Documents without text.
        bad: What could not be read.
    """

    texts: list[str]
    lines: list[int]
    count: int
    empty: int
    bad: list[Bad]


def find_files(inputs: Sequence[str | Path]) -> list[Path]:
    """Return the files that ``inputs`` name: files, folders (all in them that holds documents) and globs, sorted.

    Raises:
        DataError: One of them names nothing, or a file of a kind that is not known.
    """
    found: list[Path] = []
    for each in map(str, inputs):
        path = Path(each).expanduser()
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file() and _kind(file) is not None)
        elif path.exists():
            files = [path]
        else:
            files = sorted(file for name in glob.glob(str(path), recursive=True) if (file := Path(name)).is_file())
        if not files:
            raise DataError(f"{each} names no file", hint="give files, folders or globs in quotes")
        for file in files:
            if _kind(file) is None:
                raise DataError(
                    f"{file} is of a kind that is not known",
                    hint=f"known are {', '.join(_KINDS)}, and the text ones also as .gz and .zst",
                )
        found += files
    return found


def parts(path: Path, size: int, unit: TextUnit) -> Iterator[Part]:
    """Yield the parts of a file, each about ``size`` bytes; together they hold every document once, in order.

    Args:
        path: The file.
        size: Bytes in a part.
        unit: What a document is in a text file: the whole file, a paragraph, or a line.
    """
    kind = _kind(path)
    assert kind is not None
    stored = path.stat().st_size
    if kind == "parquet":
        groups = _parquet(path).metadata
        for group in range(groups.num_row_groups):
            share = groups.row_group(group).num_rows / max(1, groups.num_rows)
            yield Part(str(path), kind, group, group, round(stored * share))
        return
    whole = kind == "text" and unit == "file"
    ends = _ends_of_paragraph if kind == "text" and unit == "paragraph" else _ends_of_line
    if path.suffix in _COMPRESSIONS:
        yield from _compressed_parts(path, kind, stored if whole else size, None if whole else ends)
        return
    with path.open("rb") as file:
        start = 0
        while start < stored:
            file.seek(stored if whole else min(stored, start + size) - 1)
            if not whole:
                ends(file)
            end = min(stored, file.tell()) if not whole else stored
            yield Part(str(path), kind, start, end, end - start)
            start = end


def read(part: Part, key: str, unit: TextUnit) -> Documents:
    """Return the documents of a part.

    Args:
        part: The part.
        key: Key (or column) that holds a document's text.
        unit: What a document is in a text file.

    Raises:
        DataError: The file cannot be read, or is not UTF-8.
    """
    if part.kind == "parquet":
        return _read_parquet(part, key)
    content = part.content if part.content is not None else _content(part)
    if part.start == 0:
        content = content.removeprefix(b"\xef\xbb\xbf")
    document_of = functools.partial(_document_of, key=key) if part.kind == "jsonl" else str
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("utf-8", errors="surrogateescape")
        document_of = functools.partial(_document_in_utf8, document_of=document_of)
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    found = Documents([], [], len(lines), 0, [])
    for number, piece in _pieces(text, lines, "line" if part.kind == "jsonl" else unit):
        try:
            document = document_of(piece)
        except ValueError as error:
            found.bad.append((number, str(error)))
            continue
        if document:
            found.texts.append(document)
            found.lines.append(number)
        else:
            found.empty += 1
    return found


def _content(part: Part) -> bytes:
    with open(part.path, "rb") as file:
        file.seek(part.start)
        content = file.read(part.end - part.start)
    if len(content) != part.end - part.start:
        raise DataError(f"{part.path} became shorter while it was read")
    return content


def _pieces(text: str, lines: list[str], unit: TextUnit) -> Iterator[tuple[int, str]]:
    """Yield what holds a document each, and the line where it starts."""
    if unit == "file":
        yield 0, text if text.strip() else ""
    elif unit == "line":
        for number, line in enumerate(lines):
            if line and not line.isspace():
                yield number, line.rstrip("\r")
    else:
        paragraph: list[str] = []
        for number, line in enumerate([*lines, ""]):
            if line.strip():
                paragraph.append(line.rstrip("\r"))
            elif paragraph:
                yield number - len(paragraph), "\n".join(paragraph)
                paragraph = []


def _document_in_utf8(piece: str, document_of: Callable[[str], str]) -> str:
    try:
        piece.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"byte 0x{ord(piece[error.start]) - 0xDC00:02x} is no UTF-8") from None
    return document_of(piece)


def _document_of(line: str, key: str) -> str:
    """Return the text in a line of JSON, or raise ValueError."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        what = "; a list over several lines is no JSON Lines" if line.strip() in ("[", "{") else ""
        raise ValueError(f"no JSON: {error.msg} at column {error.colno}{what}") from None
    except RecursionError:
        raise ValueError("no JSON: too deep") from None
    if not isinstance(record, dict):
        raise ValueError(f"a {_named(record)}, not an object with a key {key!r}")
    if key not in record:
        raise ValueError(f"there is no key {key!r}; there is {', '.join(map(repr, list(record)[:9])) or 'none at all'}")
    document = record[key]
    if not isinstance(document, str):
        raise ValueError(f"{key!r} is a {_named(document)}, not a text")
    return document


def _named(value: Any) -> str:
    if value is None:
        return "null"
    return {dict: "object", list: "list", str: "text", bool: "truth value"}.get(type(value), "number")


def _read_parquet(part: Part, key: str) -> Documents:
    file = _parquet(Path(part.path))
    if key not in file.schema_arrow.names:
        raise DataError(
            f"{part.path} has no column {key!r}",
            hint=f"its columns are {', '.join(file.schema_arrow.names)}; give --key",
        )
    try:
        values = file.read_row_group(part.start, columns=[key]).column(0).to_pylist()
    except Exception as error:
        raise DataError(f"{part.path}: row group {part.start} cannot be read: {error}") from None
    found = Documents([], [], len(values), 0, [])
    for row, value in enumerate(values):
        if isinstance(value, str) and value:
            found.texts.append(value)
            found.lines.append(row)
        elif value is None or value == "":
            found.empty += 1
        else:
            found.bad.append((row, f"{key!r} is a {_named(value)}, not a text"))
    return found


def _parquet(path: Path) -> Any:
    parquet = _pyarrow("pyarrow.parquet", f"{path} is a Parquet file")
    try:
        return parquet.ParquetFile(path)
    except Exception as error:
        raise DataError(f"{path} is no Parquet file that can be read: {error}") from None


def _pyarrow(module: str, why: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise NemoError(f"{why}, and pyarrow is not installed", hint="pip install pyarrow") from None


def _compressed_parts(path: Path, kind: str, size: int, ends: Callable[[Any], None] | None) -> Iterator[Part]:
    """Yield parts that carry their bytes: only who reads a compressed file from its start can."""
    start = 0
    before = 0  # compressed bytes that were read
    with path.open("rb") as stored:
        stream = _decompress(path, stored)
        try:
            while content := stream.read() if ends is None else stream.read(size):
                if ends is not None:
                    rest = _Copied(stream)
                    if not content.endswith(b"\n") or ends is _ends_of_paragraph:
                        ends(rest)
                    content += rest.content
                place = stored.tell()
                yield Part(str(path), kind, start, start + len(content), place - before, content)
                start, before = start + len(content), place
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path} cannot be decompressed after {start} bytes: {error}", hint="copy it again"
            ) from None


def _decompress(path: Path, stored: IO[bytes]) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.GzipFile(fileobj=stored, mode="rb")  # type: ignore[return-value]
    arrow = _pyarrow("pyarrow", f"{path} is compressed with zstd")
    return io.BufferedReader(arrow.CompressedInputStream(arrow.PythonFile(stored, "r"), "zstd"))


class _Copied:
    """Keeps the lines that are read from a stream."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.content = stream, b""

    def readline(self) -> bytes:
        line = self.stream.readline()
        self.content += line
        return line


def _ends_of_line(file: Any) -> None:
    """Read to the end of the line."""
    file.readline()


def _ends_of_paragraph(file: Any) -> None:
    """Read to the end of the line, and on to the end of the next empty one."""
    file.readline()
    while (line := file.readline()) and line.strip():
        pass


def _kind(path: Path) -> str | None:
    suffixes = path.suffixes
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        kind = _KINDS.get(suffixes[-2]) if len(suffixes) > 1 else None
        return kind if kind != "parquet" else None
    return _KINDS.get(path.suffix)
