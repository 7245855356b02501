"""A training step of FastPitch v1.05 with learned alignment, 4 x 5 s, against NVIDIA NeMo's: time and memory."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sides import both_sides
from sides.models import write_both

from nemo_core.testing.bench import versions
from nemo_tts.modules import beta_binomial_prior

TARGET = 1.3
BATCH, SECONDS, TOKENS, RATE, HOP, ROUNDS = 4, 5, 80, 22050, 256, 5


def run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_both(folder)
        rng = np.random.default_rng(0)
        samples = SECONDS * RATE // HOP * HOP
        frames = samples // HOP
        length, frame_length = torch.full((BATCH,), TOKENS), torch.full((BATCH,), frames)
        np.savez(
            folder / "batch.npz",
            audio=0.1 * rng.standard_normal((BATCH, samples), dtype=np.float32),
            audio_length=np.full(BATCH, samples),
            tokens=rng.integers(0, 40, (BATCH, TOKENS)),
            length=length.numpy(),
            pitch=rng.standard_normal((BATCH, frames), dtype=np.float32),
            prior=beta_binomial_prior(length, frame_length).exp().numpy(),
        )
        ours, theirs = both_sides("train", folder)
        with ours, theirs:
            answers = [(ours.work(), theirs.work()) for _ in range(1 + ROUNDS)][1:]
    seconds = [statistics.median(each["seconds"] for each in side) for side in zip(*answers, strict=True)]
    peak = [max(each["peak_bytes"] for each in side) for side in zip(*answers, strict=True)]
    return {
        "ours": seconds[0],
        "peer": seconds[1],
        "unit": "s",
        "target": f"{TARGET:g} x as fast as NeMo",
        "ok": seconds[0] * TARGET <= seconds[1],
        "x as fast": seconds[1] / seconds[0],
        "memory_ratio": peak[0] / peak[1],
        "versions": versions("nemo-core", "nemo-tts", "torch") | {"nemo_toolkit": "2.7.3"},
    }
