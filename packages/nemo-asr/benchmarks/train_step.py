"""A training step of a small FastConformer, CTC and RNN-T, 8 x 10 s, against NVIDIA NeMo's: time and memory."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sides import both_sides
from sides.models import VOCABULARY, Kind, fastconformer, write_both

from nemo_core.testing.bench import versions

#: Steps a second, at least, and peak memory, at most, as multiples of NeMo's.
TARGET_SPEED, TARGET_MEMORY = 1.5, 0.8
ROUNDS: dict[Kind, int] = {"ctc": 5, "rnnt": 3}
BATCH, SECONDS, RATE, TOKENS = 8, 10, 16000, 40


def run() -> dict[str, Any]:
    rows = [row for kind in ROUNDS for row in _rows(kind)]
    speed, memory = rows[0], rows[1]
    return {
        "ours": speed["ours"],
        "peer": speed["peer"],
        "unit": "s",
        "target": f"steps/s >= {TARGET_SPEED} x NeMo's, peak memory <= {TARGET_MEMORY} x",
        "ok": all(row["ok"] for row in rows),
        "memory_ratio": memory["ours"] / memory["peer"],
        "versions": versions("nemo-core", "nemo-asr", "torch") | {"nemo_toolkit": "2.7.3"},
        "rows": rows,
    }


def _rows(kind: Kind) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_both(fastconformer(kind), folder)
        rng = np.random.default_rng(0)
        np.savez(
            folder / "batch.npz",
            audio=0.1 * rng.standard_normal((BATCH, SECONDS * RATE), dtype=np.float32),
            length=np.full(BATCH, SECONDS * RATE),
            targets=rng.integers(0, VOCABULARY, (BATCH, TOKENS)),
        )
        ours, theirs = both_sides("train", folder)
        with ours, theirs:
            answers = [(ours.work(), theirs.work()) for _ in range(1 + ROUNDS[kind])][1:]
    seconds = [statistics.median(each["seconds"] for each in side) for side in zip(*answers, strict=True)]
    peak = [max(each["peak_bytes"] for each in side) / 1e9 for side in zip(*answers, strict=True)]
    return [
        {
            "what": f"{kind}: step",
            "ours": seconds[0],
            "peer": seconds[1],
            "unit": "s",
            "steps/s x NeMo's": seconds[1] / seconds[0],
            "ok": seconds[0] * TARGET_SPEED <= seconds[1],
        },
        {
            "what": f"{kind}: peak memory",
            "ours": peak[0],
            "peer": peak[1],
            "unit": "GB",
            "steps/s x NeMo's": None,
            "ok": peak[0] <= TARGET_MEMORY * peak[1],
        },
    ]
