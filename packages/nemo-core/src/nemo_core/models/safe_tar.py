"""Reading tar files that nobody vouches for.

A tar can hold far more than files: links that point out of the folder, devices, pipes, names such as ``../../.bashrc``,
the same name twice, a few kilobytes that unpack to a disk full of zeros. :class:`SafeTar` looks at every header before
anything is read or written and refuses all of that; what is left are plain files with plain relative names.

Nothing is unpacked to be read: an uncompressed tar stores its members as they are, so they are mapped into memory in
place. A gzipped one (NVIDIA's older archives) is inflated to an anonymous temporary file first, within limits.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import mmap
import os
import re
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Self

from nemo_core.errors import ArchiveError, UnsafeArchiveError

__all__ = ["Limits", "Member", "SafeTar", "mapped", "sha256"]

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 20
_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What an archive may ask of the machine that reads it.

    Attributes:
        members: Number of entries.
        name: Length of a member's name, in characters.
        inflated: Bytes that a gzipped archive may always unpack to.
        ratio: Past ``inflated``, how many times its own size a gzipped archive may unpack to. Weights compress to
            nine tenths or so, and deflate reaches a thousand only on bytes that are all alike.
    """

    members: int = 10_000
    name: int = 255
    inflated: int = 256 * _MIB
    ratio: int = 32


@dataclass(frozen=True)
class Member:
    """A file inside a tar: where its bytes are and how many."""

    name: str
    offset: int
    size: int


class SafeTar:
    """A tar file, plain or gzipped, opened for reading; every member has been checked.

    Args:
        path: The file.
        limits: What it may ask for.

    Raises:
        ArchiveError: There is no such file, it is no tar, or it is cut short.
        UnsafeArchiveError: It holds anything but plain files and folders with plain relative names, or asks for more
            than ``limits`` allow.
    """

    def __init__(self, path: str | Path, limits: Limits | None = None) -> None:
        self.path = Path(path)
        self._limits = limits or Limits()
        self._file = _open_regular(self.path)
        self._map: mmap.mmap | None = None
        try:
            self.compressed = self._file.read(2) == b"\x1f\x8b"
            if self.compressed:
                self._file = self._inflate(self._file)
            self._size = self._file.seek(0, os.SEEK_END)
            self._folded: set[str] = set()
            self.members = self._scan()
            # A private mapping: tensors made over it may be written to, and the file stays as it is.
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_COPY)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; views of members that are still in use stay valid until they are dropped."""
        if self._map is not None:
            with contextlib.suppress(BufferError):  # someone holds a view: the mapping goes when the last one does
                self._map.close()
            self._map = None
        self._file.close()

    def view(self, name: str) -> memoryview:
        """Return the bytes of a member, mapped and not copied.

        Raises:
            ArchiveError: There is no such member.
        """
        if self._map is None:
            raise ArchiveError(f"{self.path} is closed")
        member = self.members.get(name)
        if member is None:
            held = ", ".join(self.members) or "nothing"
            raise ArchiveError(f"{self.path} has no member {name}", hint=f"it holds: {held}")
        return memoryview(self._map)[member.offset : member.offset + member.size]

    def read(self, name: str, limit: int = 64 * _MIB) -> bytes:
        """Return a copy of the bytes of a member that is meant to be small (text, JSON, YAML).

        Raises:
            UnsafeArchiveError: It is larger than ``limit``.
        """
        with self.view(name) as view:
            if len(view) > limit:
                raise UnsafeArchiveError(f"{self.path}: {name} is {len(view):,} bytes, more than the {limit:,} allowed")
            return bytes(view)

    def extract(self, names: Iterable[str], folder: Path) -> dict[str, Path]:
        """Write members as files below ``folder`` and return their paths by name; nothing is overwritten."""
        paths = {}
        for name in names:
            target = folder.joinpath(*PurePosixPath(name).parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.view(name) as view, target.open("xb") as file:
                file.write(view)
            paths[name] = target
        return paths

    def _inflate(self, file: IO[bytes]) -> IO[bytes]:
        compressed = file.seek(0, os.SEEK_END)
        allowed = max(self._limits.inflated, self._limits.ratio * compressed)
        file.seek(0)
        inflated = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the tar
        try:
            with file, gzip.GzipFile(fileobj=file) as stream:
                total = 0
                while chunk := stream.read(_CHUNK):
                    total += len(chunk)
                    if total > allowed:
                        raise UnsafeArchiveError(
                            f"{self.path}: {compressed:,} bytes unpack to more than {allowed:,}, as a bomb does",
                            hint="if you trust it, unpack and repack it without compression",
                        )
                    inflated.write(chunk)
            inflated.flush()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            inflated.close()
            raise ArchiveError(f"{self.path} is damaged: {error}", hint="fetch or copy it again") from error
        except BaseException:
            inflated.close()
            raise
        return inflated

    def _scan(self) -> dict[str, Member]:
        """Check every header, in the order of the file, and return the plain files."""
        self._file.seek(0)
        members: dict[str, Member] = {}
        end = 0
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                for count, entry in enumerate(tar, start=1):
                    if count > self._limits.members:
                        raise self._unsafe(f"more than {self._limits.members:,} members")
                    end = entry.offset_data + _padded(entry.size if entry.isreg() else 0)
                    self._check(entry, members)
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
            raise ArchiveError(f"{self.path} is no tar file, or damaged: {error}", hint=self._guess()) from error
        # A damaged header in mid-file reads like the end of the archive; the real end is a block of zeros.
        self._file.seek(end)
        if self._file.read(_BLOCK) != bytes(_BLOCK):
            last = next(reversed(members), "its start")
            raise ArchiveError(f"{self.path} is cut short or damaged after {last}", hint="fetch or copy it again")
        return members

    def _check(self, entry: tarfile.TarInfo, members: dict[str, Member]) -> None:
        if entry.type == tarfile.DIRTYPE:
            if entry.name not in (".", "./", ""):
                self._plain_name(entry.name)
            return
        if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.issparse():
            raise self._unsafe(f"{entry.name!r} is {_KINDS.get(entry.type, 'of an unknown kind')}, not a plain file")
        name = self._plain_name(entry.name)
        # Compared without case, as the file systems of macOS and Windows do.
        folded = name.casefold()
        if folded in self._folded:
            raise self._unsafe(f"{name!r} is there twice")
        if any(str(parent) in self._folded for parent in PurePosixPath(folded).parents):
            raise self._unsafe(f"{name!r} lies inside a file")
        self._folded.add(folded)
        if entry.size < 0 or entry.offset_data + entry.size > self._size:
            raise ArchiveError(
                f"{self.path} is cut short: {name} is said to be {entry.size:,} bytes, more than the file has left",
                hint="fetch or copy it again",
            )
        members[name] = Member(name, entry.offset_data, entry.size)

    def _plain_name(self, name: str) -> str:
        """Return ``name`` without a leading ``./``, or raise if it could land anywhere but below the target folder."""
        plain = name.removeprefix("./").rstrip("/")
        parts = plain.split("/")
        if (
            len(plain) > self._limits.name
            or plain.startswith("/")
            or any(part in ("", ".", "..") for part in parts)
            # Backslashes and colons are separators, drives and streams to Windows.
            or re.search(r"[\x00-\x1f\x7f\\:]", plain)
            or not plain.isprintable()
        ):
            raise self._unsafe(f"the name {name[:80]!r} points outside the archive or is malformed")
        return plain

    def _unsafe(self, what: str) -> UnsafeArchiveError:
        return UnsafeArchiveError(f"{self.path}: {what}", hint="nothing of it was used; do not trust its source")

    def _guess(self) -> str:
        """Say what the file seems to be instead of a tar."""
        self._file.seek(0)
        head = self._file.read(512)
        for magic, what in _LOOKS.items():
            if head.startswith(magic):
                return what
        return "a model archive is an uncompressed tar file; fetch or copy it again"


@contextlib.contextmanager
def mapped(path: str | Path) -> Iterator[memoryview]:
    """Yield the bytes of a file, mapped and not copied; changes to them stay private.

    Raises:
        ArchiveError: There is no such file, or it is none with bytes in it.
    """
    with _open_regular(Path(path)) as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    try:
        yield memoryview(mapping)
    finally:
        with contextlib.suppress(BufferError):  # someone holds a view: the mapping goes when the last one does
            mapping.close()


def sha256(content: bytes | memoryview) -> str:
    """Return the SHA-256 of ``content`` in hex.

    >>> sha256(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


def _open_regular(path: Path) -> IO[bytes]:
    """Open a regular file; a pipe or a device would hang or never end."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ArchiveError(f"{path} is a folder, not a model archive", hint="name the .nemo file inside it")
        if not stat.S_ISREG(mode):
            raise UnsafeArchiveError(f"{path} is not a regular file")
        if path.stat().st_size == 0:
            raise ArchiveError(f"{path} is empty", hint="fetch or copy it again")
        return path.open("rb")
    except FileNotFoundError as error:
        raise ArchiveError(f"there is no file {path}") from error
    except OSError as error:
        raise ArchiveError(f"cannot read {path}: {error.strerror}") from error


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_LOOKS = {
    b"PK\x03\x04": "this is a zip file, as torch.save writes: a bare checkpoint; its weights can be used by init_from",
    b"version https://git-lfs": "this is a Git LFS pointer, not the file itself: run `git lfs pull`",
    b"<!DOCTYPE": "this is a web page: the download gave an error page",
    b"<html": "this is a web page: the download gave an error page",
    b"BZh": "this is a bzip2 file: unpack it first",
    b"\xfd7zXZ": "this is an xz file: unpack it first",
    b"\x80": "this is a pickle; it cannot be loaded safely",
}
