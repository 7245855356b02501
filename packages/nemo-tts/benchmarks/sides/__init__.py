"""Both sides of a benchmark as processes that work on command, so that they can be measured in turn.

A side is a script that makes its things ready, then calls :func:`sides.loop.serve`; :class:`Side` starts it and has it
do a piece of work. Both sides are given the same folder: our archive, the same model as an archive of NVIDIA's, and the
input.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nemo_core.testing.peers import peer_environment

__all__ = ["HERE", "Side", "both_sides", "nemo_python"]

HERE = Path(__file__).parent


def nemo_python() -> Path:
    """Return the Python that has NVIDIA NeMo; its environment is made if it is not there."""
    return peer_environment("nemo-tts", ("nemo_toolkit[tts]==2.7.3",))


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
        raise RuntimeError(f"{self._process.args} ended:\n{self._errors.read()[-5000:]}")


def both_sides(task: str, folder: Path, *arguments: str) -> tuple[Side, Side]:
    """Start ours and NVIDIA NeMo's side of ``task``."""
    ours = Side([sys.executable, HERE / "ours.py", task, folder, *arguments])
    theirs = Side([nemo_python(), HERE / "nvidia.py", task, folder, *arguments])
    return ours, theirs
