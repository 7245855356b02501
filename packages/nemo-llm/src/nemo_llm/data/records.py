"""Records of JSON lines, JSON arrays and Parquet files, one after the other."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from nemo_core.errors import ConfigError, DataError

__all__ = ["Record", "read_records"]

_AGAIN = "is that its place? copy or make it again if it is damaged"


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        path: Its file.
        unit: What is counted in that file: ``line``, ``row`` of a table, or ``item`` of an array.
        number: Which one it is, from 1.
        values: What it holds.
    """

    path: Path
    unit: str
    number: int
    values: Mapping[str, Any]

    @property
    def where(self) -> str:
        """File and line, for messages."""
        return f"{self.path}, {self.unit} {self.number}"


def read_records(path: str | Path) -> Iterator[Record]:
    r"""Yield the records of a file without holding them all.

    Args:
        path: ``.parquet``; ``.json`` with an array, or with a record a line; or JSON lines by any other name, packed
            with gzip if it ends in ``.gz``. Blank lines are passed over.

    Raises:
        DataError: The file cannot be read, or a line is no JSON object; the message names the file and the line.
        ConfigError: It is Parquet, and pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "train.jsonl"
        >>> _ = path.write_text('{"text": "one"}\n\n{"text": "two"}\n')
        >>> [(record.where.rpartition(", ")[2], record.values["text"]) for record in read_records(path)]
        [('line 1', 'one'), ('line 3', 'two')]
    """
    path = Path(path)
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path)
            return
        with _open(path) as file:
            if path.name.endswith((".json", ".json.gz")) and _starts_array(file):
                yield from _array(path, file)
            else:
                yield from _lines(path, file)
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError(f"{path} cannot be read: {reason}", hint=_AGAIN) from None


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _starts_array(file: IO[bytes]) -> bool:
    start = file.read(4096).lstrip()
    file.seek(0)
    return start.startswith(b"[")


def _lines(path: Path, file: IO[bytes]) -> Iterator[Record]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            values = json.loads(line)
        except ValueError as error:
            raise DataError(
                f"{where}: is not JSON ({getattr(error, 'msg', 'not UTF-8')})", hint=_excerpt(line)
            ) from None
        if not isinstance(values, dict):
            raise DataError(f"{where}: is not a JSON object", hint=_excerpt(line))
        yield Record(path, "line", number, values)


def _array(path: Path, file: IO[bytes]) -> Iterator[Record]:
    try:
        items = json.loads(file.read())
    except ValueError as error:
        at = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{path}{at}: is not JSON ({getattr(error, 'msg', 'not UTF-8')})") from None
    for number, values in enumerate(items, start=1):
        if not isinstance(values, dict):
            raise DataError(f"{path}, item {number}: is not a JSON object")
        yield Record(path, "item", number, values)


def _parquet(path: Path) -> Iterator[Record]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ConfigError(f"{path}: reading Parquet needs pyarrow", hint="pip install 'nemo-llm[parquet]'") from None
    try:
        with path.open("rb") as opened, parquet.ParquetFile(opened) as file:
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield Record(path, "row", number, values)
    except pyarrow.ArrowException as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is no Parquet file: {reason}", hint=_AGAIN) from None


def _excerpt(line: bytes) -> str:
    text = line.decode("utf-8", errors="replace").strip()
    return "the line is " + (text if len(text) <= 120 else text[:117] + "...")
