"""1,000 short files transcribed, process start to exit: ``nemo transcribe`` against a script with NVIDIA NeMo."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import soundfile as sf
from sides import HERE, nemo_python
from sides.models import fastconformer, write_both

from nemo_asr.data import ConnectedDigits
from nemo_core.testing.bench import in_turn, process_seconds, versions

TARGET = 3.0
FILES, ROUNDS = 1000, 2


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "audio").mkdir()
        strings = ConnectedDigits("test", size=FILES, max_digits=4)
        for index in range(FILES):
            sf.write(folder / f"audio/{index:04}.wav", strings[index].audio.repeat(2), 16000, subtype="PCM_16")
        write_both(fastconformer("ctc"), folder)
        command = [sys.executable, "-m", "nemo_core.cli.main", "transcribe", str(folder / "ours.nemo")]
        out = ["--batch-size", "16", "-o", str(folder / "out"), "--overwrite"]
        sides = {
            "ours": process_seconds([*command, str(folder / "audio"), *out]),
            "peer": process_seconds([str(nemo_python()), str(HERE / "nvidia.py"), "transcribe", name]),
        }
        took = in_turn(sides, rounds=ROUNDS)
        texts = [(folder / f"out/{index:04}.txt").read_text().strip() for index in range(FILES)]
        same = sum(a == b.strip() for a, b in zip(texts, (folder / "nvidia.txt").read_text().splitlines(), strict=True))
    return {
        **took,
        "unit": "s",
        "target": f"{TARGET:g} x as fast as NeMo",
        "ok": took["ours"] * TARGET <= took["peer"],
        "x as fast": took["peer"] / took["ours"],
        "same_texts": same,
        "versions": versions("nemo-core", "nemo-asr", "torch") | {"nemo_toolkit": "2.7.3"},
    }
