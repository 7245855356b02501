"""The command line as people run it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Nemo = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def nemo(tmp_path: Path) -> Nemo:
    """Run ``nemo`` in an empty folder; keyword arguments are environment variables."""

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("NEMO_")}
        return subprocess.run(
            [sys.executable, "-m", "nemo_core.cli.main", *arguments],
            env={**kept, "COLUMNS": "100", **environ},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
