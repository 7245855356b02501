"""The models that both sides run: FastPitch v1.05 and HiFi-GAN v1 in their full sizes, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nemo_core.audio import MelSpectrogram
from nemo_core.models import export
from nemo_tts.models import FastPitch, HiFiGan
from nemo_tts.modules import Aligner, FFTransformerDecoder, FFTransformerEncoder, HiFiGanGenerator, TemporalPredictor
from nemo_tts.tokenizers import EnglishCharsTokenizer

__all__ = ["fastpitch", "hifigan", "write_both"]

_MEL: dict[str, Any] = {
    "sample_rate": 22050,
    "n_window_size": 1024,
    "n_window_stride": 256,
    "n_fft": 1024,
    "features": 80,
    "lowfreq": 0,
    "highfreq": 8000,
    "normalize": None,
    "preemph": None,
    "dither": 0.0,
    "mag_power": 1.0,
    "log_zero_guard_value": 1e-5,
}


def fastpitch() -> FastPitch:
    """Return FastPitch with learned alignment, as the recipe of its release 1.05 has it."""
    torch.manual_seed(0)
    tokenizer = EnglishCharsTokenizer(punct=True, apostrophe=True, pad_with_space=True, unknown="skip")
    model = FastPitch(
        preprocessor=MelSpectrogram(**_MEL, pad_to=1),
        encoder=FFTransformerEncoder(n_embed=len(tokenizer.tokens), padding_idx=tokenizer.pad),
        decoder=FFTransformerDecoder(),
        duration_predictor=TemporalPredictor(384),
        pitch_predictor=TemporalPredictor(384),
        aligner=Aligner(n_text_channels=384),
        tokenizer=tokenizer,
        pitch_mean=200.0,
        pitch_std=50.0,
    )
    with torch.no_grad():
        # As in English, a token lasts about six frames.
        model.duration_predictor.fc.weight.mul_(0.1)
        model.duration_predictor.fc.bias.fill_(1.95)
    return model


def hifigan() -> HiFiGan:
    """Return the generator of HiFi-GAN v1."""
    torch.manual_seed(0)
    mel = MelSpectrogram(**_MEL | {"log_zero_guard_type": "clamp"}, pad_to=0, pad_value=-11.52, exact_pad=True)
    return HiFiGan(mel, HiFiGanGenerator())


def write_both(folder: Path) -> None:
    """Write both models as ours and as NVIDIA's: ``NAME.ours.nemo`` and ``NAME.nvidia.nemo``."""
    for name, model in (("fastpitch", fastpitch()), ("hifigan", hifigan())):
        model.save(folder / f"{name}.ours.nemo")
        export(model, folder / f"{name}.nvidia.nemo", "nvidia-nemo")
