"""Eight sentences to audio, one by one, with FastPitch v1.05 and HiFi-GAN v1, against NVIDIA NeMo."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sides import both_sides
from sides.models import write_both

from nemo_core.testing.bench import versions

TARGET = 1.3
SENTENCES, TOKENS, RATE, ROUNDS = 8, 60, 22050, 5


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_both(folder)
        np.savez(folder / "sentences.npz", tokens=np.random.default_rng(0).integers(0, 40, (SENTENCES, TOKENS)))
        ours, theirs = both_sides("synthesis", folder)
        with ours, theirs:
            answers = [(ours.work(), theirs.work()) for _ in range(1 + ROUNDS)][1:]
    seconds = [statistics.median(each["seconds"] for each in side) for side in zip(*answers, strict=True)]
    audio = [side["samples"] / RATE for side in answers[0]]
    factors = [took / length for took, length in zip(seconds, audio, strict=True)]
    return {
        "ours": factors[0],
        "peer": factors[1],
        "unit": "s of computing for a second of audio",
        "target": f"{TARGET:g} x as fast as NeMo",
        "ok": factors[0] * TARGET <= factors[1],
        "x as fast": factors[1] / factors[0],
        "seconds_of_audio": audio,
        "versions": versions("nemo-core", "nemo-tts", "torch") | {"nemo_toolkit": "2.7.3"},
    }
