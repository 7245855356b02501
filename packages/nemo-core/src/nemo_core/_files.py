"""Files that are whole or not there, whenever a process is killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing", "write_atomically"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; when the block ends, that file takes the place of ``path`` in one step.

    It lies beside ``path``, since a file can only be renamed within a file system. If the block raises, it is removed,
    and what was at ``path`` stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` so that a reader sees the old content or all of the new."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
