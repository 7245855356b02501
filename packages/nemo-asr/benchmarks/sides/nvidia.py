"""NVIDIA NeMo's side, in its own environment: ``python nvidia.py train|greedy|transcribe FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loop import serve
from nemo.collections.asr.models import ASRModel


def train(folder: Path) -> Callable[[], None]:
    """One step: loss, gradients, AdamW; what NeMo's own ``training_step`` does, without its logging."""
    model = ASRModel.restore_from(str(folder / "nvidia.nemo"), map_location="cpu").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    given = np.load(folder / "batch.npz")
    audio, length = torch.from_numpy(given["audio"]), torch.from_numpy(given["length"])
    targets = torch.from_numpy(given["targets"])
    target_length = torch.full((len(targets),), targets.shape[1])

    def step() -> None:
        out = model(input_signal=audio, input_signal_length=length)
        if not hasattr(model, "joint"):
            loss = model.loss(log_probs=out[0], targets=targets, input_lengths=out[1], target_lengths=target_length)
        else:
            encoded, encoded_length = out
            predicted, _, _ = model.decoder(targets=targets, target_length=target_length)
            if model.joint.fuse_loss_wer:
                loss, *_ = model.joint(
                    encoder_outputs=encoded,
                    decoder_outputs=predicted,
                    encoder_lengths=encoded_length,
                    transcripts=targets,
                    transcript_lengths=target_length,
                    compute_wer=False,
                )
            else:
                joint = model.joint(encoder_outputs=encoded, decoder_outputs=predicted)
                loss = model.loss(
                    log_probs=joint, targets=targets, input_lengths=encoded_length, target_lengths=target_length
                )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def greedy(folder: Path) -> Callable[[], dict[str, Any]]:
    """Tokens of all utterances, from their encoded frames."""
    model = ASRModel.restore_from(str(folder / "nvidia.nemo"), map_location="cpu").eval()
    given = np.load(folder / "encoded.npz")
    batches = [
        (torch.from_numpy(given[f"encoded{i}"]), torch.from_numpy(given[f"length{i}"])) for i in given["batches"]
    ]

    def decode() -> dict[str, Any]:
        tokens = []
        with torch.inference_mode():
            for encoded, length in batches:
                for found in model.decoding.rnnt_decoder_predictions_tensor(encoded, length, return_hypotheses=True):
                    tokens.append(np.asarray(found.y_sequence).tolist())
        return {"tokens": tokens}

    return decode


def transcribe(folder: Path) -> None:
    """What a user's script does: restore, transcribe a folder, write the texts."""
    model = ASRModel.restore_from(str(folder / "nvidia.nemo"), map_location="cpu")
    files = sorted(str(path) for path in (folder / "audio").glob("*.wav"))
    found = model.transcribe(files, batch_size=16, verbose=False)
    (folder / "nvidia.txt").write_text("".join(f"{each.text}\n" for each in found))


if __name__ == "__main__":
    task, where = sys.argv[1], Path(sys.argv[2])
    if task == "transcribe":
        transcribe(where)
    else:
        serve({"train": train, "greedy": greedy}[task](where))
