"""Cold synthesis of a sentence, process start to exit: ``nemo synthesize`` against a script that uses NeMo."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from sides import HERE, nemo_python
from sides.models import write_both

from nemo_core.testing.bench import in_turn, process_seconds, versions

TARGET = 0.4
SENTENCE = "The quick brown fox jumps over the lazy dog."


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_both(folder)
        ours = [
            *(sys.executable, "-m", "nemo_core.cli.main", "synthesize", f"{folder / 'fastpitch.ours.nemo'}"),
            *("--vocoder", f"{folder / 'hifigan.ours.nemo'}", SENTENCE, "-o", f"{folder / 'ours.wav'}", "--overwrite"),
        ]
        theirs = [f"{nemo_python()}", f"{HERE / 'nvidia_cold.py'}", f"{folder}", SENTENCE]
        # The first round writes bytecode, which a program finds on people's machines, and is not counted.
        environ = {"PYTHONDONTWRITEBYTECODE": ""}
        took = in_turn({"ours": process_seconds(ours, environ), "NeMo": process_seconds(theirs, environ)}, rounds=3)
    return {
        "ours": took["ours"],
        "peer": took["NeMo"],
        "unit": "s",
        "target": f"<= {TARGET:g} x NeMo",
        "ok": took["ours"] <= TARGET * took["NeMo"],
        "versions": versions("nemo-core", "nemo-tts", "torch") | {"nemo_toolkit": "2.7.3"},
    }
