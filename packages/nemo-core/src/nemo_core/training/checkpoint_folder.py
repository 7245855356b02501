"""Checkpoints that are folders: what makes one whole, and how files and folders are put in place, linked and removed.

A strategy whose processes write weights side by side keeps a checkpoint as a folder. Two files in it are core's:
``manifest.json``, which names every file with its size and checksum, and ``trainer.ckpt``, the plain values of loops
and callbacks. What else is in it is the strategy's business.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nemo_core._files import replacing
from nemo_core.errors import ArchiveError

__all__ = [
    "LAST",
    "MANIFEST",
    "PREVIOUS",
    "TRAINER",
    "facts",
    "find_damage",
    "is_folder_checkpoint",
    "link",
    "make_room",
    "put_in_place",
    "read_manifest",
    "remove",
    "seal",
    "sweep",
]

LAST = "last.ckpt"
PREVIOUS = "last-previous.ckpt"
MANIFEST = "manifest.json"
TRAINER = "trainer.ckpt"
_LARGEST_MANIFEST = 64 << 20


def is_folder_checkpoint(path: Path) -> bool:
    """Whether ``path`` is a sealed folder (it may still be damaged)."""
    return (path / MANIFEST).is_file()


def facts(path: Path) -> dict[str, Any]:
    """Return size in bytes and CRC-32 of a file.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "a")
    >>> file.write_bytes(b"123456789")
    9
    >>> facts(file)
    {'size': 9, 'crc32': 'cbf43926'}
    """
    size = checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            size, checksum = size + len(block), zlib.crc32(block, checksum)
    return {"size": size, "crc32": f"{checksum:08x}"}


def seal(folder: Path, content: Mapping[str, Any], known: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Write the manifest of a folder that has all other files, and flush folder and manifest to disk.

    Args:
        folder: The folder.
        content: What the manifest says besides ``files``.
        known: :func:`facts` of files, by their path in the folder, that need not be read again.
    """
    known = known or {}
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            files[name] = known.get(name) or facts(path)
            if name not in known:
                _flush(path)
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump({**content, "files": files}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    for path in {folder, *(folder / name for name in files)}:
        _flush(path if path.is_dir() else path.parent)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what the manifest of a folder says.

    Raises:
        ArchiveError: There is none, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > _LARGEST_MANIFEST:
            raise ArchiveError(f"{path} is {path.stat().st_size:,} bytes: no manifest")
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ArchiveError(f"{folder} is no checkpoint: it has no {MANIFEST}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ArchiveError(f"{path} is damaged: {error}") from error
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not all(isinstance(each, dict) for each in files.values()):
        raise ArchiveError(f"{path} does not list the files of a checkpoint")
    for name in files:
        if name.startswith("/") or ".." in Path(name).parts:
            raise ArchiveError(f"{path} names {name!r}, which is outside the folder")
    return dict(content)


def find_damage(folder: Path, *, checksums: bool = True) -> str | None:
    """Return what is wrong with a folder: files that are missing, of another size or content; None if it is whole.

    Args:
        folder: The folder.
        checksums: Read the files and compare checksums, not only sizes.
    """
    try:
        files = read_manifest(folder)["files"]
    except ArchiveError as error:
        return error.message
    for name, expected in files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if size != expected.get("size"):
            return f"{name} has {size:,} bytes instead of {expected.get('size')}"
    if checksums:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for (name, expected), found in zip(
                files.items(), pool.map(lambda name: facts(folder / name), files), strict=True
            ):
                if found["crc32"] != expected.get("crc32"):
                    return f"the checksum of {name} is wrong"
    return None


def make_room(path: Path, *, folder: bool = False) -> None:
    """Make a rename to ``path`` possible; ``last.ckpt`` is kept as ``last-previous.ckpt``.

    Args:
        path: What is about to be replaced.
        folder: Whether a folder will take its place. A file replaces a file without further ado.
    """
    if path.name == LAST and path.exists():
        previous = path.with_name(PREVIOUS)
        if previous.is_dir() or path.is_dir():
            remove(previous)
        os.replace(path, previous)
    elif folder or path.is_dir():
        remove(path)


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a complete folder its name; see :func:`make_room`."""
    make_room(path, folder=True)
    os.replace(temporary, path)
    _flush(path.parent)


def remove(path: Path) -> None:
    """Remove a checkpoint, if it is there; a folder vanishes from its name at once."""
    if path.is_dir() and not path.is_symlink():
        aside = path.with_name(f".{path.name}.{os.getpid()}.removed")
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(path, aside)
        shutil.rmtree(aside)
    else:
        path.unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Make ``target`` the same as ``source``, in no more space: checkpoints are replaced, never written into."""
    if not source.is_dir():
        with replacing(target) as temporary:
            temporary.unlink(missing_ok=True)
            _link_file(source, temporary)
        return
    copy = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(copy, ignore_errors=True)
    try:
        shutil.copytree(source, copy, copy_function=_link_file)
        remove(target)
        os.replace(copy, target)
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder of checkpoints that no other process uses."""
    for path in folder.glob(".*.ckpt.*"):
        remove(path)


def _link_file(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _flush(path: Path) -> None:
    with contextlib.suppress(OSError):  # not every system lets a folder be opened
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
