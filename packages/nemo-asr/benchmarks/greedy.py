"""Greedy RNN-T and TDT decoding of 200 utterances, from the same encoded frames, against NVIDIA NeMo's."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sides import both_sides
from sides.models import Kind, fastconformer, write_both

from nemo_asr.data import ConnectedDigits
from nemo_asr.data.batch import pad_audio
from nemo_asr.models import TransducerModel
from nemo_core.testing.bench import versions

TARGET = 2.0
UTTERANCES, BATCH, ROUNDS = 200, 16, 5
#: Tokens for each encoded frame of 80 ms: of the order of English subwords.
RATE = 0.3


def run() -> dict[str, Any]:
    rows = [_row(kind) for kind in ("rnnt", "tdt")]
    return {
        "ours": rows[0]["ours"],
        "peer": rows[0]["peer"],
        "unit": "s",
        "target": f"{TARGET:g} x as fast as NeMo",
        "ok": all(row["ok"] for row in rows),
        "versions": versions("nemo-core", "nemo-asr", "torch") | {"nemo_toolkit": "2.7.3"},
        "rows": rows,
    }


def _row(kind: Kind) -> dict[str, Any]:
    model = fastconformer(kind).eval()
    assert isinstance(model, TransducerModel)
    batches = _encode(model)
    per_frame = _tune_blank(model, batches)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_both(model, folder)
        arrays = {f"encoded{i}": encoded.numpy() for i, (encoded, _) in enumerate(batches)}
        arrays |= {f"length{i}": length.numpy() for i, (_, length) in enumerate(batches)}
        np.savez(folder / "encoded.npz", batches=np.arange(len(batches)), **arrays)
        ours, theirs = both_sides("greedy", folder)
        with ours, theirs:
            answers = [(ours.work(), theirs.work()) for _ in range(1 + ROUNDS)][1:]
    seconds = [statistics.median(each["seconds"] for each in side) for side in zip(*answers, strict=True)]
    same = sum(a == b for a, b in zip(answers[0][0]["tokens"], answers[0][1]["tokens"], strict=True))
    return {
        "what": kind,
        "ours": seconds[0],
        "peer": seconds[1],
        "unit": "s",
        "x as fast": seconds[1] / seconds[0],
        "tokens per frame": per_frame,
        "same tokens": f"{same} of {UTTERANCES}",
        "ok": seconds[0] * TARGET <= seconds[1],
    }


@torch.inference_mode()
def _encode(model: TransducerModel) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return encoded frames of digit strings, which are long and short in turn, in batches as they come."""
    strings = ConnectedDigits("test", size=UTTERANCES)
    batches = []
    for start in range(0, UTTERANCES, BATCH):
        audio = [strings[i].audio.repeat(2) for i in range(start, min(start + BATCH, UTTERANCES))]  # 8 kHz to 16 kHz
        batches.append(tuple(each.clone() for each in model(*pad_audio(audio))))
    return batches


@torch.inference_mode()
def _tune_blank(model: TransducerModel, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Set the bias of the blank so that a frame gives ``RATE`` tokens; return how many it does."""
    frames = sum(int(length.sum()) for _, length in batches)
    bias = model.joint.joint_net[-1].bias
    low, high = -5.0, 5.0
    for _ in range(12):
        bias[model.loss.blank] = (low + high) / 2
        found = sum(len(path.tokens) for batch in batches for path in model.greedy(*batch)) / frames
        low, high = ((low + high) / 2, high) if found > RATE else (low, (low + high) / 2)
    return found
