"""Folders that one process makes for all: nobody sees half of one, and nobody waits for ever."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nemo_core.errors import DataError, NemoError, TrainingError

__all__ = ["make_once"]

_POLL = 0.05  # seconds
_LATE = 30.0  # seconds that a shared file system may be late


def make_once(folder: Path, make: Callable[[Path, Callable[[], None]], None], *, timeout: float = 600.0) -> Path:
    """Return ``folder``, made by the process of rank 0 if it is not there yet; the others wait for it.

    All processes of a distributed job have to call it. It is made under another name and renamed, so that it is whole
    or not there. Its name must say what is in it: whoever finds it takes it as it is.

    Args:
        folder: What to make; of all processes the same, on a file system that they share.
        make: Gets the folder to fill, and a function to call now and then: as long as it is called the others wait.
        timeout: Seconds that the others wait without a sign of life.

    Raises:
        DataError: It could not be made; all processes raise the error of rank 0.
        TrainingError: It does not come.

    Example:
        >>> import tempfile
        >>> folder = make_once(Path(tempfile.mkdtemp(), "made"), lambda path, alive: (path / "x").touch())
        >>> [path.name for path in folder.iterdir()]
        ['x']
    """
    line = _Line.of_this_job(folder)
    if line is None:
        _make(folder, make, lambda: None)
        return folder
    if line.rank == 0:
        try:
            _make(folder, make, line.alive)
        except BaseException as error:
            line.tell(error if isinstance(error, NemoError) else DataError(f"{folder} could not be made: {error!r}"))
            raise
        line.tell(None)
    elif not folder.is_dir():
        line.listen(timeout)
        _wait_for(folder)
    return folder


def _make(folder: Path, make: Callable[[Path, Callable[[], None]], None], alive: Callable[[], None]) -> None:
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            make(temporary, alive)
            with contextlib.suppress(OSError):  # another job made the same in the meantime
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{folder} cannot be written: {error.strerror or error}", hint="name another folder: data.cache_dir=..."
        ) from None
    if not folder.is_dir():
        raise DataError(f"{folder} cannot be written: something else is there", hint="remove it")


def _wait_for(folder: Path) -> None:
    end = time.monotonic() + _LATE
    while not folder.is_dir():
        if time.monotonic() > end:
            raise TrainingError(
                f"rank 0 made {folder}, and this process does not see it",
                hint="put data.cache_dir on a file system that all machines share",
            )
        time.sleep(_POLL)


class _Line:
    """How rank 0 tells the others, over the key-value store that the job's processes share."""

    def __init__(self, store: Any, rank: int, name: str) -> None:
        self.rank = rank
        self._store = store
        # Each process counts its own calls, so that an answer is never one to an earlier question.
        self._key = f"{name}/{store.add(f'{name}/calls/{rank}', 1)}"
        self._signs = 0

    @classmethod
    def of_this_job(cls, folder: Path) -> _Line | None:
        from torch import distributed

        if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
            return None
        store = distributed.distributed_c10d._get_default_store()
        return cls(store, distributed.get_rank(), f"nemo-llm/once/{folder}")

    def alive(self) -> None:
        self._signs += 1
        self._store.set(f"{self._key}/alive", str(self._signs))

    def tell(self, error: NemoError | None) -> None:
        told = None if error is None else [type(error).__name__, error.message, error.hint]
        self._store.set(f"{self._key}/done", json.dumps(told))

    def listen(self, timeout: float) -> None:
        signs, end = b"", time.monotonic() + timeout
        while not self._store.check([f"{self._key}/done"]):
            if self._store.check([f"{self._key}/alive"]):
                seen = self._store.get(f"{self._key}/alive")
                if seen != signs:
                    signs, end = seen, time.monotonic() + timeout
            if time.monotonic() > end:
                raise TrainingError(
                    f"rank 0 gives no sign of life for {timeout:g} s while it prepares data",
                    hint="see its messages; where it is only slow, raise data.cache_timeout",
                )
            time.sleep(_POLL)
        told = json.loads(self._store.get(f"{self._key}/done"))
        if told is not None:
            from nemo_core import errors

            kind = getattr(errors, told[0], DataError)
            raise (kind if issubclass(kind, NemoError) else DataError)(f"rank 0: {told[1]}", hint=told[2])
