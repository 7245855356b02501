"""NVIDIA NeMo's side, in its own environment: ``python nvidia.py train|synthesis|alignment FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loop import serve
from torch.nn import functional as F


def train(folder: Path) -> Callable[[], None]:
    """One step: loss, gradients, AdamW; what NeMo's own ``training_step`` does, without its logging."""
    from nemo.collections.tts.models import FastPitchModel

    model = FastPitchModel.restore_from(str(folder / "fastpitch.nvidia.nemo"), map_location="cpu").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    given = {name: torch.from_numpy(value) for name, value in np.load(folder / "batch.npz").items()}
    length = given["length"]

    def step() -> None:
        mels, frames = model.preprocessor(input_signal=given["audio"], length=given["audio_length"])
        # Its spectrogram has a frame more than its lengths say.
        missing = mels.shape[2] - given["prior"].shape[1]
        out = model(
            text=given["tokens"],
            durs=None,
            pitch=F.pad(given["pitch"], (0, missing)),
            speaker=None,
            pace=1.0,
            spec=mels,
            attn_prior=F.pad(given["prior"], (0, 0, 0, missing)),
            mel_lens=frames,
            input_lens=length,
        )
        predicted, _, _, log_durations, pitch, soft, log_probs, hard, durations, wanted_pitch = out[:10]
        loss = model.mel_loss_fn(spect_predicted=predicted, spect_tgt=mels)
        loss = loss + model.duration_loss_fn(log_durs_predicted=log_durations, durs_tgt=durations, len=length)
        loss = loss + model.forward_sum_loss_fn(attn_logprob=log_probs, in_lens=length, out_lens=frames)
        loss = loss + model.bin_loss_fn(hard_attention=hard, soft_attention=soft)
        loss = loss + model.pitch_loss_fn(pitch_predicted=pitch, pitch_tgt=wanted_pitch, len=length)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def synthesis(folder: Path) -> Callable[[], dict[str, Any]]:
    """Tokens of some sentences to audio, one after the other."""
    from nemo.collections.tts.models import FastPitchModel, HifiGanModel

    acoustic = FastPitchModel.restore_from(str(folder / "fastpitch.nvidia.nemo"), map_location="cpu").eval()
    vocoder = HifiGanModel.restore_from(str(folder / "hifigan.nvidia.nemo"), map_location="cpu", strict=False).eval()
    sentences = [torch.from_numpy(row)[None] for row in np.load(folder / "sentences.npz")["tokens"]]

    def speak() -> dict[str, Any]:
        samples = 0
        total = 0.0
        with torch.inference_mode():
            for tokens in sentences:
                audio = vocoder.convert_spectrogram_to_audio(spec=acoustic.generate_spectrogram(tokens=tokens))
                samples += audio.numel()
                total += float(audio.abs().sum())
        return {"samples": samples, "level": total / samples}

    return speak


def alignment(folder: Path) -> Callable[[], dict[str, Any]]:
    """Durations of a batch from its soft alignment."""
    from nemo.collections.tts.parts.utils.helpers import binarize_attention_parallel

    given = {name: torch.from_numpy(value) for name, value in np.load(folder / "alignment.npz").items()}
    soft = given["log_probs"].exp().unsqueeze(1)

    def align() -> dict[str, Any]:
        hard = binarize_attention_parallel(soft, given["tokens"], given["frames"])
        return {"durations": hard.sum(2)[:, 0].long().tolist()}

    return align


if __name__ == "__main__":
    serve({"train": train, "synthesis": synthesis, "alignment": alignment}[sys.argv[1]](Path(sys.argv[2])))
