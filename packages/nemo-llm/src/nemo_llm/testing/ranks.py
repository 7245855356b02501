"""A pool of processes that form a distributed world on this machine, for tests of what is parallel.

Importing torch and Megatron-core takes a process seconds, so the processes stay and take one function after another.
Each function starts what it needs (:func:`nemo_llm.megatron.engine`) and stops it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import inspect
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nemo_core.errors import TrainingError

__all__ = ["Ranks"]

_PYTHON = "import sys; from nemo_llm.testing.ranks import serve; serve(*sys.argv[1:])"


class Ranks:
    """``count`` processes with a process group over gloo; a context manager.

    Args:
        count: How many.
        timeout: Seconds that one call may take; then all processes are ended.
        threads: Of torch, in each.

    Example:
        >>> with Ranks(2) as ranks:  # doctest: +SKIP
        ...     ranks.run(distributed.get_rank)
        [0, 1]
    """

    def __init__(self, count: int, *, timeout: float = 120.0, threads: int = 1) -> None:
        self.count, self.timeout, self.threads = count, timeout, threads
        self._processes: list[subprocess.Popen[bytes]] = []
        self._sockets: list[Any] = []

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, function: Callable[..., Any], *args: Any, **options: Any) -> list[Any]:
        """Call ``function`` in every process, and return what each returned.

        Args:
            function: Of the top level of a module or of a test file; the processes import it by name or by path.
            args: Whatever can be pickled.
            options: Likewise.

        Raises:
            TrainingError: It raised in one of them, or took too long; says where, with the traceback.
        """
        if not self._processes:
            self._start()
        task = pickle.dumps((_address(function), args, options))
        answers: list[Any] = [None] * self.count

        def ask(rank: int) -> None:
            with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
                connection = self._sockets[rank]
                connection.settimeout(self.timeout)
                _send(connection, task)
                answers[rank] = pickle.loads(_receive(connection))

        threads = [threading.Thread(target=ask, args=(rank,), daemon=True) for rank in range(self.count)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + self.timeout
        while any(thread.is_alive() for thread in threads):
            failed = any(answer is not None and not answer[0] for answer in answers)
            if failed:  # the others may wait for it for ever
                time.sleep(1.0)
                break
            if time.monotonic() > deadline:
                break
            time.sleep(0.005)
        wrong = [f"rank {rank}:\n{answer[1]}" for rank, answer in enumerate(answers) if answer and not answer[0]]
        silent = [rank for rank, answer in enumerate(answers) if answer is None]
        if wrong or silent:
            if silent:
                self.close()
            told = "\n".join(wrong) or f"no answer from ranks {silent} within {self.timeout:.0f} s"
            raise TrainingError(f"{getattr(function, '__name__', function)} failed in {self.count} processes: {told}")
        return [answer[1] for answer in answers]

    def close(self) -> None:
        """End the processes."""
        for connection in self._sockets:
            connection.close()
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes, self._sockets = [], []

    def _start(self) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(self.count)
            listener.settimeout(self.timeout)
            address = str(listener.getsockname()[1])
            store = str(Path(tempfile.mkdtemp(prefix="nemo-ranks-"), "store"))
            env = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
            self._processes = [
                subprocess.Popen([sys.executable, "-c", _PYTHON, address, str(rank), str(self.count), store], env=env)
                for rank in range(self.count)
            ]
            found: dict[int, Any] = {}
            try:
                while len(found) < self.count:
                    connection, _ = listener.accept()
                    found[pickle.loads(_receive(connection))] = connection
            except OSError:
                self.close()
                raise TrainingError(f"{self.count} processes did not start within {self.timeout:.0f} s") from None
            self._sockets = [found[rank] for rank in range(self.count)]


def serve(port: str, rank: str, count: str, store: str) -> None:
    """Be one of the processes: run what comes, until the other side is gone."""
    import torch
    from torch import distributed

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    distributed.init_process_group(
        "gloo", store=distributed.FileStore(store, int(count)), rank=int(rank), world_size=int(count)
    )
    connection = socket.create_connection(("127.0.0.1", int(port)))
    _send(connection, pickle.dumps(int(rank)))
    while True:
        try:
            address, args, options = pickle.loads(_receive(connection))
        except (EOFError, OSError):
            os._exit(0)  # not through torch's exit, which waits for the others
        try:
            answer = (True, _find(address)(*args, **options))
            message = pickle.dumps(answer)
        except BaseException:
            message = pickle.dumps((False, traceback.format_exc()))
        _send(connection, message)
        # What the task built is in cycles, process groups among it, each with three threads that poll.
        gc.collect()


def _address(function: Callable[..., Any]) -> tuple[str, str, str]:
    return function.__module__, inspect.getsourcefile(function) or "", function.__qualname__


def _find(address: tuple[str, str, str]) -> Callable[..., Any]:
    module_name, path, name = address
    if module_name == "__main__":
        module_name = f"__main__ of {path}"
    if module_name in sys.modules:
        module = sys.modules[module_name]
    else:
        try:
            module = importlib.import_module(module_name)
        except ImportError:  # a test file, which no name leads to
            spec = importlib.util.spec_from_file_location(module_name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[module_name] = module
            spec.loader.exec_module(module)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _send(connection: Any, message: bytes) -> None:
    connection.sendall(len(message).to_bytes(8, "big") + message)


def _receive(connection: Any) -> bytes:
    return _exactly(connection, int.from_bytes(_exactly(connection, 8), "big"))


def _exactly(connection: Any, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
