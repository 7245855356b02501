"""A side of a benchmark: a process that works on command, so that two can be measured in turn.

It is a script that makes its things ready and then, for each line that it reads, works and prints a line of JSON behind
an ``@``; it may run in an environment that does not have nemo-core.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Side"]


class Side:
    """A process that works on command.

    Args:
        command: What starts it.
    """

    def __init__(self, command: Sequence[str | Path]) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed with the process)
        self._process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        self.ready = self._answer()

    def work(self) -> dict[str, Any]:
        """Have it work once, and return its answer: ``seconds``, ``peak_bytes`` and what else it tells."""
        assert self._process.stdin is not None
        self._process.stdin.write("work\n")
        self._process.stdin.flush()
        return self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:  # libraries print as well
            if line.startswith("@"):
                answer: dict[str, Any] = json.loads(line[1:])
                return answer
        self._errors.seek(0)
        raise RuntimeError(f"{self._process.args!r} ended:\n{self._errors.read()[-5000:]}")
