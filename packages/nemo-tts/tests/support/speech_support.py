"""Small models and data, which tests and the recipes in them import by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback

from nemo_core.audio import MelSpectrogram
from nemo_core.data import DataModule
from nemo_tts.models import AcousticBatch, FastPitch, GriffinLim, VocoderBatch
from nemo_tts.modules import Aligner, FFTransformerDecoder, FFTransformerEncoder, TemporalPredictor
from nemo_tts.synthesis import Synthesizer
from nemo_tts.tokenizers import EnglishCharsTokenizer

SIZES: dict[str, Any] = {"n_layer": 2, "n_head": 2, "d_model": 16, "d_head": 8, "d_inner": 24, "kernel_size": 3}
MEL: dict[str, Any] = {
    "sample_rate": 8000,
    "n_window_size": 128,
    "n_window_stride": 64,
    "features": 12,
    "normalize": None,
    "preemph": None,
    "mag_power": 1.0,
    "pad_to": 0,
    "dither": 0.0,
    "log_zero_guard_value": 1e-5,
}


def make_fastpitch(seed: int = 0, **changes: Any) -> FastPitch:
    torch.manual_seed(seed)
    condition = changes.pop("condition_types", ())
    sizes = {**SIZES, "condition_types": condition}
    parts: dict[str, Any] = {
        "preprocessor": MelSpectrogram(**MEL),
        "encoder": FFTransformerEncoder(n_embed=20, padding_idx=19, **sizes),
        "decoder": FFTransformerDecoder(**SIZES),
        "duration_predictor": TemporalPredictor(16, 8),
        "pitch_predictor": TemporalPredictor(16, 8),
        "energy_predictor": TemporalPredictor(16, 8),
        "aligner": Aligner(n_mel_channels=12, n_text_channels=16, n_att_channels=8),
        "pitch_mean": 200.0,
        "pitch_std": 50.0,
    }
    model = FastPitch(**{**parts, **changes})
    with torch.no_grad():
        model.duration_predictor.fc.bias.fill_(1.0)  # a few frames for each token
    return model.eval()


def make_speaker(options: Mapping[str, Any] | None = None, **changes: Any) -> Synthesizer:
    """Return what speaks letters with a small FastPitch; ``options`` are the synthesizer's, ``changes`` the model's."""
    torch.manual_seed(0)  # also for the encoder: what it says must not depend on which tests came before
    tokenizer = EnglishCharsTokenizer()
    condition = ("add",) if changes.get("n_speakers", 1) > 1 else ()
    sizes = {**SIZES, "condition_types": condition}
    encoder = FFTransformerEncoder(n_embed=len(tokenizer), padding_idx=tokenizer.pad, **sizes)
    model = make_fastpitch(encoder=encoder, tokenizer=tokenizer, **changes)
    return Synthesizer(model, GriffinLim(model.preprocessor, iterations=2), **(options or {}))


def make_batch(tokens: list[int], frames: list[int], seed: int = 0) -> AcousticBatch:
    """Return a batch of utterances of so many tokens and frames."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.full((len(tokens), max(tokens)), 19)
    for row, count in zip(numbers, tokens, strict=True):
        row[:count] = torch.randint(19, (count,), generator=generator)
    samples = torch.tensor(frames) * 64
    audio = 0.3 * torch.randn(len(frames), int(samples.max()), generator=generator)
    inside = torch.arange(audio.shape[1]) < samples.unsqueeze(1)
    frame_inside = torch.arange(max(frames)) < torch.tensor(frames).unsqueeze(1)
    pitch = torch.randn(len(frames), max(frames), generator=generator) * frame_inside
    energy = torch.rand(len(frames), max(frames), generator=generator) * frame_inside
    return AcousticBatch(audio * inside, samples, numbers, torch.tensor(tokens), pitch, energy=energy)


class Tones:
    def __len__(self):
        return 12

    def __getitem__(self, index):
        return 0.3 * torch.sin(0.05 * (index + 1) * torch.arange(1024))

    def sample(self, index, rng):
        return self[index] + 0.01 * torch.from_numpy(rng.standard_normal(1024)).float()


class ToneData(DataModule):
    def dataset(self, split):
        return Tones() if split in ("train", "validation") else None

    def collate(self, items):
        audio = torch.stack(items)
        return VocoderBatch(audio, torch.full((len(audio),), audio.shape[1]))


class DieOnce(Callback):
    """Fails before a step, unless there is a note that it has."""

    def __init__(self, step: int, note: str) -> None:
        self.step, self.note = step, Path(note)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step and not self.note.exists():
            self.note.touch()
            raise RuntimeError(f"died at step {self.step}")
