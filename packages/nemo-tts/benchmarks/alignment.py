"""The search for the best monotonic alignment, 16 x 800 frames x 150 tokens, against NVIDIA NeMo's (numba)."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sides import both_sides

from nemo_core.testing.bench import versions

TARGET = 2.0
BATCH, FRAMES, TOKENS, ROUNDS = 16, 800, 150, 15


def run() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((BATCH, FRAMES, TOKENS), dtype=np.float32)
    # Alignments go along the diagonal, more or less.
    place = np.arange(FRAMES)[:, None] / FRAMES - np.arange(TOKENS) / TOKENS
    logits -= 40 * place.astype(np.float32) ** 2
    log_probs = logits - np.log(np.exp(logits).sum(2, keepdims=True))
    frames = rng.integers(FRAMES // 2, FRAMES + 1, BATCH)
    tokens = rng.integers(TOKENS // 2, TOKENS + 1, BATCH)
    frames[0], tokens[0] = FRAMES, TOKENS
    with tempfile.TemporaryDirectory() as name:
        np.savez(Path(name) / "alignment.npz", log_probs=log_probs, tokens=tokens, frames=frames)
        ours, theirs = both_sides("alignment", Path(name))
        with ours, theirs:
            answers = [(ours.work(), theirs.work()) for _ in range(1 + ROUNDS)][1:]
    seconds = [statistics.median(each["seconds"] for each in side) for side in zip(*answers, strict=True)]
    same = np.mean(np.array(answers[0][0]["durations"]) == np.array(answers[0][1]["durations"]))
    return {
        "ours": seconds[0],
        "peer": seconds[1],
        "unit": "s",
        "target": f"{TARGET:g} x as fast as NeMo",
        "ok": seconds[0] * TARGET <= seconds[1],
        "x as fast": seconds[1] / seconds[0],
        "same_durations": float(same),
        "versions": versions("nemo-core", "nemo-tts", "torch") | {"nemo_toolkit": "2.7.3"},
    }
