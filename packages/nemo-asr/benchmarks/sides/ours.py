"""Our side: ``python ours.py train|greedy FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loop import serve

import nemo_asr
from nemo_asr.data import SpeechBatch


def train(folder: Path) -> Callable[[], None]:
    """One step: loss, gradients, AdamW."""
    model = nemo_asr.restore(str(folder / "ours.nemo")).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    given = np.load(folder / "batch.npz")
    texts = ["".join(model.tokenizer.vocabulary[token] for token in row) for row in given["targets"]]
    names = [str(index) for index in range(len(texts))]
    batch = SpeechBatch(torch.from_numpy(given["audio"]), torch.from_numpy(given["length"]), texts, names)

    def step() -> None:
        model.loss_on(batch).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def greedy(folder: Path) -> Callable[[], dict[str, Any]]:
    """Tokens of all utterances, from their encoded frames."""
    model = nemo_asr.restore(str(folder / "ours.nemo")).eval()
    given = np.load(folder / "encoded.npz")
    batches = [
        (torch.from_numpy(given[f"encoded{i}"]), torch.from_numpy(given[f"length{i}"])) for i in given["batches"]
    ]

    def decode() -> dict[str, Any]:
        with torch.inference_mode():
            return {"tokens": [list(path.tokens) for batch in batches for path in model.greedy(*batch)]}

    return decode


if __name__ == "__main__":
    serve({"train": train, "greedy": greedy}[sys.argv[1]](Path(sys.argv[2])))
