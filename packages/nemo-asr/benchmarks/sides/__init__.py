"""Both sides of a benchmark as processes that work on command, so that they can be measured in turn.

A side is a script that makes its things ready, then calls :func:`sides.loop.serve`; :class:`Side` starts it and has it
do a piece of work. Both sides are given the same folder: our archive, the same model as an archive of NVIDIA's, and the
input.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nemo_core.testing.peers import NVIDIA_NEMO, peer_environment
from nemo_core.testing.sides import Side

__all__ = ["HERE", "Side", "both_sides", "nemo_python"]

HERE = Path(__file__).parent


def nemo_python() -> Path:
    """Return the Python that has NVIDIA NeMo; its environment is made if it is not there."""
    return peer_environment("nemo", NVIDIA_NEMO)


def both_sides(task: str, folder: Path, *arguments: str) -> tuple[Side, Side]:
    """Start ours and NVIDIA NeMo's side of ``task``."""
    ours = Side([sys.executable, HERE / "ours.py", task, folder, *arguments])
    theirs = Side([nemo_python(), HERE / "nvidia.py", task, folder, *arguments])
    return ours, theirs
