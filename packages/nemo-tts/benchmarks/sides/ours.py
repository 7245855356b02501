"""Our side: ``python ours.py train|synthesis|alignment FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loop import serve


def train(folder: Path) -> Callable[[], None]:
    """One step: loss, gradients, AdamW."""
    import nemo_tts
    from nemo_tts.models import AcousticBatch

    model = nemo_tts.restore(folder / "fastpitch.ours.nemo").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    given = {name: torch.from_numpy(value) for name, value in np.load(folder / "batch.npz").items()}
    batch = AcousticBatch(
        given["audio"],
        given["audio_length"],
        given["tokens"],
        given["length"],
        given["pitch"],
        log_prior=given["prior"].log(),
    )

    def step() -> None:
        loss, _ = model.losses(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def synthesis(folder: Path) -> Callable[[], dict[str, Any]]:
    """Tokens of some sentences to audio, one after the other."""
    import nemo_tts

    acoustic = nemo_tts.restore(folder / "fastpitch.ours.nemo")
    vocoder = nemo_tts.restore(folder / "hifigan.ours.nemo")
    sentences = [torch.from_numpy(row)[None] for row in np.load(folder / "sentences.npz")["tokens"]]

    def speak() -> dict[str, Any]:
        samples = 0
        total = 0.0
        for tokens in sentences:
            made = acoustic.generate(tokens)
            audio = vocoder.vocode(made.spectrogram, made.length)
            samples += audio.numel()
            total += float(audio.abs().sum())
        return {"samples": samples, "level": total / samples}

    return speak


def alignment(folder: Path) -> Callable[[], dict[str, Any]]:
    """Durations of a batch from its soft alignment."""
    from nemo_tts.modules import durations_of, monotonic_alignment

    given = {name: torch.from_numpy(value) for name, value in np.load(folder / "alignment.npz").items()}
    scores = given["log_probs"]

    def align() -> dict[str, Any]:
        path = monotonic_alignment(scores, given["tokens"], given["frames"])
        return {"durations": durations_of(path, scores.shape[2]).tolist()}

    return align


if __name__ == "__main__":
    serve({"train": train, "synthesis": synthesis, "alignment": alignment}[sys.argv[1]](Path(sys.argv[2])))
