r"""Megatron's token files: ``PREFIX.bin`` holds the tokens of all documents, ``PREFIX.idx`` says where each is.

The index, little-endian: the magic ``MMIDIDX\0\0``, version (u64, 1), a code for the type of the tokens (u8), the
number of sequences n (u64) and of document boundaries d (u64); then the length of each sequence in tokens (n x i32),
where it starts in the ``.bin`` in bytes (n x i64), the sequence at which each document starts, and the end (d x i64),
and optionally a mode of each sequence (n x i8). A document is one or several sequences in a row.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nemo_core.errors import ConfigError, DataError

__all__ = ["TokenFile", "TokenWriter", "token_dtype", "token_paths"]

_MAGIC = b"MMIDIDX\x00\x00"
_VERSION = 1
_HEADER = struct.Struct("<9sQBQQ")
_CODES: dict[int, type[np.generic]] = {
    1: np.uint8,
    2: np.int8,
    3: np.int16,
    4: np.int32,
    5: np.int64,
    6: np.float64,
    7: np.float32,
    8: np.uint16,
}
_REBUILD = "it may have been cut short in copying: copy it again, or prepare the data again"


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Return the type that Megatron stores tokens of a vocabulary in: two bytes where that does, else four.

    >>> token_dtype(50257), token_dtype(128256)
    (dtype('uint16'), dtype('int32'))
    """
    return np.dtype(np.uint16 if vocab_size < 65500 else np.int32)


def token_paths(prefix: str | Path) -> tuple[Path, Path]:
    """Return the ``.bin`` and the ``.idx`` of ``prefix``, which may also be given as one of them.

    >>> [path.name for path in token_paths("data/wiki.v2")], [path.name for path in token_paths("data/wiki.bin")]
    (['wiki.v2.bin', 'wiki.v2.idx'], ['wiki.bin', 'wiki.idx'])
    """
    name = os.fspath(prefix)
    name = name[:-4] if name.endswith((".bin", ".idx")) else name
    return Path(name + ".bin"), Path(name + ".idx")


class TokenFile(Sequence[np.ndarray]):
    """Tokens of many documents, read where they lie (memory-mapped). It is checked whole when it is opened.

    As a sequence it holds the *sequences* of the file, each an array (T,); :meth:`document` reads documents. Where the
    file has modes, :attr:`modes` is (n,) int8, else None.

    Args:
        prefix: The path without ``.bin`` and ``.idx``.

    Raises:
        DataError: One of the two files is not there, is of another kind, or does not fit the other.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with TokenWriter(Path(folder, "tiny"), np.uint16) as writer:
        ...         writer.add([3, 1, 4])
        ...         writer.add([1, 5], lengths=[1, 1])
        ...     tokens = TokenFile(Path(folder, "tiny"))
        ...     len(tokens), tokens.documents, tokens.document(1).tolist(), tokens.document_lengths.tolist()
        (3, 2, [1, 5], [3, 2])
    """

    def __init__(self, prefix: str | Path) -> None:
        self.prefix = os.fspath(prefix)
        self.bin_path, self.idx_path = token_paths(prefix)
        self._open()

    def _open(self) -> None:
        for path, other in ((self.idx_path, self.bin_path), (self.bin_path, self.idx_path)):
            if not path.is_file():
                there = f"; {other.name} is" if other.is_file() else ""
                raise DataError(
                    f"{path} is not there{there}", hint="give the common path of the two files, without .bin and .idx"
                )
        self.dtype, sequences, boundaries, has_modes = self._read_header()
        raw = np.memmap(self.idx_path, np.uint8, "r")
        place = _HEADER.size

        def take(dtype: str, count: int) -> np.ndarray:
            nonlocal place
            found = raw[place : place + count * np.dtype(dtype).itemsize].view(dtype)
            place += found.nbytes
            return found

        #: (n,) tokens in each sequence; (n,) bytes before it; (documents + 1,) sequences before each document.
        self.sequence_lengths = take("<i4", sequences)
        self.sequence_pointers = take("<i8", sequences)
        self.document_indices = take("<i8", boundaries)
        self.modes = take("<i1", sequences) if has_modes else None
        size = self.bin_path.stat().st_size
        self._check(size)
        self._bin = np.memmap(self.bin_path, np.uint8, "r") if size else np.empty(0, np.uint8)

    def _read_header(self) -> tuple[np.dtype[Any], int, int, bool]:
        """Return type of the tokens, number of sequences and of document boundaries, and whether there are modes."""
        with self.idx_path.open("rb") as file:
            header = file.read(_HEADER.size)
            size = os.fstat(file.fileno()).st_size
        if header[: len(_MAGIC)] != _MAGIC[: len(header)] or not header:
            raise DataError(
                f"{self.idx_path} is no index of a Megatron token file: it does not start with MMIDIDX",
                hint="`nemo llm prepare-data` writes such files",
            )
        if len(header) < _HEADER.size:
            raise DataError(f"{self.idx_path} ends within its header, after {len(header)} bytes", hint=_REBUILD)
        _, version, code, sequences, boundaries = _HEADER.unpack(header)
        if version != _VERSION:
            raise DataError(f"{self.idx_path} has version {version}; known is version {_VERSION}")
        if code not in _CODES:
            raise DataError(
                f"{self.idx_path} has tokens of type {code}; known are "
                + ", ".join(f"{number} ({np.dtype(dtype)})" for number, dtype in _CODES.items())
            )
        plain = _HEADER.size + 12 * sequences + 8 * boundaries
        if size not in (plain, plain + sequences):
            raise DataError(
                f"{self.idx_path} has {size} bytes, but an index of {sequences} sequences and "
                f"{max(0, boundaries - 1)} documents has {plain}, or {plain + sequences} with modes",
                hint=_REBUILD,
            )
        return np.dtype(_CODES[code]).newbyteorder("<"), sequences, boundaries, size != plain

    def _check(self, bin_size: int) -> None:
        """Raise what is wrong with the index, or between it and a ``.bin`` of ``bin_size`` bytes."""
        indices, count = self.document_indices, len(self.sequence_lengths)
        if len(indices) == 0 or indices[0] != 0 or indices[-1] != count or (np.diff(indices) < 0).any():
            raise DataError(
                f"{self.idx_path}: the boundaries of documents do not rise from 0 to the number of sequences, {count}"
            )
        item, end = self.dtype.itemsize, 0
        for start in range(0, count, 1 << 20):  # in parts: an index may be larger than memory
            part = slice(start, start + (1 << 20))
            lengths, pointers = self.sequence_lengths[part].astype(np.int64), self.sequence_pointers[part]
            ends = pointers + lengths * item
            for wrong, what in (
                (lengths < 0, "has a negative length"),
                (pointers < 0, "starts before the file"),
                (pointers % item != 0, "starts within a token"),
                (ends > bin_size, f"ends after the {bin_size} bytes of {self.bin_path.name}"),
                (pointers != np.concatenate([[end], ends[:-1]]), "does not start where the one before it ends"),
            ):
                if wrong.any():
                    place = int(np.argmax(wrong))
                    raise DataError(
                        f"{self.idx_path}: sequence {start + place} ({lengths[place]} tokens at byte "
                        f"{pointers[place]}) {what}",
                        hint=f"{self.bin_path.name} and {self.idx_path.name} are damaged or belong to different data",
                    )
            end = int(ends[-1])
        if end != bin_size:
            raise DataError(
                f"{self.bin_path} has {bin_size} bytes, but {self.idx_path.name} describes {end}",
                hint="the two belong to different data, or preparing it was cut short",
            )

    def __len__(self) -> int:
        return len(self.sequence_lengths)

    def __getitem__(self, index: Any) -> Any:
        """Return the tokens of a sequence (T,), a view of the file."""
        index = range(len(self))[index]
        if isinstance(index, range):
            return [self[one] for one in index]
        start = int(self.sequence_pointers[index])
        return self._read(start, int(self.sequence_lengths[index]))

    @property
    def documents(self) -> int:
        """Number of documents."""
        return len(self.document_indices) - 1

    @property
    def tokens(self) -> int:
        """Number of tokens in all documents."""
        return len(self._bin) // self.dtype.itemsize

    @cached_property
    def document_lengths(self) -> np.ndarray:
        """Tokens in each document (D,)."""
        return np.diff(self._document_starts)

    @cached_property
    def _document_starts(self) -> np.ndarray:
        """Tokens before each document, and the end (D + 1,)."""
        pointers = np.append(self.sequence_pointers, len(self._bin))
        return pointers[self.document_indices] // self.dtype.itemsize

    def document(self, index: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the tokens of a document, or those from ``start`` to ``stop`` (T,), a view of the file."""
        index = range(self.documents)[index]
        begin, end = int(self._document_starts[index]), int(self._document_starts[index + 1])
        start, stop, _ = slice(start, stop).indices(end - begin)
        return self._read((begin + start) * self.dtype.itemsize, max(0, stop - start))

    def _read(self, start: int, count: int) -> np.ndarray:
        return self._bin[start : start + count * self.dtype.itemsize].view(self.dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenFile, (self.prefix,)  # a worker maps the files itself instead of receiving a copy


class TokenWriter:
    """Writes a token file. Used as a context: when that ends well both files are there, whole, and else neither.

    Args:
        prefix: The path without ``.bin`` and ``.idx``; files that are there are replaced at the end.
        dtype: Type of the tokens; see :func:`token_dtype`.
        modes: Whether sequences have modes.

    Raises:
        ConfigError: Tokens cannot have that type.
    """

    def __init__(self, prefix: str | Path, dtype: Any, *, modes: bool = False) -> None:
        self.bin_path, self.idx_path = token_paths(prefix)
        self.dtype = np.dtype(dtype)
        if self.dtype not in map(np.dtype, _CODES.values()):
            raise ConfigError(
                f"tokens cannot be of type {self.dtype}", hint=f"one of {[*map(np.dtype, _CODES.values())]}"
            )
        self.sequences = self.documents = self.tokens = 0
        self._lengths: list[np.ndarray] = []
        self._boundaries: list[np.ndarray] = [np.zeros(1, np.int64)]
        self._modes: list[np.ndarray] | None = [] if modes else None
        self._temporary = self.bin_path.with_name(f".{self.bin_path.name}.{os.getpid()}")

    def __enter__(self) -> TokenWriter:
        self.bin_path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._temporary.open("wb")
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self._file.close()
            if kind is None:
                self._finish()
        finally:
            self._temporary.unlink(missing_ok=True)

    def add(self, tokens: Any, lengths: Sequence[int] | None = None, modes: Sequence[int] | None = None) -> None:
        """Write one document.

        Args:
            tokens: Its tokens (T,).
            lengths: Tokens of each of its sequences; by default it is one sequence.
            modes: Mode of each sequence, 0 by default.

        Raises:
            DataError: The lengths do not add up, or a token does not fit the type.
        """
        tokens = np.asarray(tokens)
        parts = np.array([len(tokens)] if lengths is None else lengths, np.int64)
        self._write(tokens, parts, modes)
        self._boundaries.append(np.array([self.sequences], np.int64))
        self.documents += 1

    def add_many(self, tokens: Any, lengths: Any) -> None:
        """Write many documents of one sequence each: all their tokens (T,), and the length of each (D,)."""
        parts = np.asarray(lengths, np.int64)
        first = self.sequences + 1
        self._write(np.asarray(tokens), parts, None)
        self._boundaries.append(np.arange(first, first + len(parts)))
        self.documents += len(parts)

    def _write(self, tokens: np.ndarray, lengths: np.ndarray, modes: Sequence[int] | None) -> None:
        if lengths.sum() != len(tokens) or (lengths < 0).any() or (lengths > np.iinfo(np.int32).max).any():
            raise DataError(
                f"document {self.documents}: {len(tokens)} tokens do not make sequences of {lengths.tolist()[:9]}"
            )
        if self._modes is not None:
            marks = np.zeros(len(lengths), np.int8) if modes is None else np.asarray(modes, np.int8)
            if len(marks) != len(lengths):
                raise DataError(f"document {self.documents}: {len(lengths)} sequences have {len(marks)} modes")
            self._modes.append(marks)
        elif modes is not None:
            raise ConfigError("modes are given to a writer that was opened without them", hint="set modes=True")
        self._file.write(_as_type(tokens, self.dtype).tobytes())
        self._lengths.append(lengths.astype("<i4"))
        self.sequences += len(lengths)
        self.tokens += len(tokens)

    def _finish(self) -> None:
        lengths = np.concatenate(self._lengths) if self._lengths else np.zeros(0, "<i4")
        sizes = lengths.astype("<i8") * self.dtype.itemsize
        boundaries = np.concatenate(self._boundaries)
        code = next(code for code, dtype in _CODES.items() if np.dtype(dtype) == self.dtype)
        index = self.idx_path.with_name(f".{self.idx_path.name}.{os.getpid()}")
        try:
            with index.open("wb") as file:
                file.write(_HEADER.pack(_MAGIC, _VERSION, code, len(lengths), len(boundaries)))
                for array in (lengths, np.cumsum(sizes, dtype="<i8") - sizes, boundaries.astype("<i8")):
                    file.write(array.tobytes())
                if self._modes is not None:
                    file.write(b"".join(part.tobytes() for part in self._modes))
            # Two files cannot be replaced in one step: without the index nobody takes an old .bin for the new one.
            self.idx_path.unlink(missing_ok=True)
            os.replace(self._temporary, self.bin_path)
            os.replace(index, self.idx_path)
        finally:
            index.unlink(missing_ok=True)


def _as_type(tokens: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return ``tokens`` as ``dtype``, little-endian; what does not fit is refused rather than wrapped around."""
    if tokens.dtype != dtype and len(tokens) and dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        lowest, highest = tokens.min(), tokens.max()
        if lowest < bounds.min or highest > bounds.max:
            wrong = lowest if lowest < bounds.min else highest
            raise DataError(f"token {wrong} does not fit the type {dtype}", hint="is the size of the vocabulary right?")
    return tokens.astype(dtype.newbyteorder("<"), copy=False)
