"""What the tests of nemo-asr share."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from nemo_asr.models import CTCModel
from nemo_asr.modules import ConvASREncoder, CTCDecoder, MelSpectrogram, SpecAugment
from nemo_asr.tokenizers import CharTokenizer

REFERENCE = Path(__file__).parents[4] / "shared" / "fixtures" / "nvidia"


@pytest.fixture
def nvidia() -> Path:
    """Folder of archives and outputs of NVIDIA NeMo."""
    if not REFERENCE.is_dir():
        pytest.skip("reference outputs of NVIDIA NeMo are not here")
    return REFERENCE


def make_model(seed: int = 0) -> CTCModel:
    torch.manual_seed(seed)
    blocks = [
        {"filters": 24, "kernel": 11, "stride": 2, "residual": False, "dropout": 0.1},
        {"filters": 24, "kernel": 5, "repeat": 2, "separable": True},
    ]
    model = CTCModel(
        preprocessor=MelSpectrogram(8000, features=20, window_size=0.025, n_fft=256),
        encoder=ConvASREncoder(blocks, feat_in=20),
        decoder=CTCDecoder(24, vocabulary=6),
        tokenizer=CharTokenizer(" abcde"),
        spec_augment=SpecAugment(time_masks=1, freq_masks=1, freq_width=4),
    )
    audio, length = torch.from_numpy(speech_like(8.0))[None], torch.tensor([64000])
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            norm.momentum = 1.0  # one pass gives statistics that fit, so that the output depends on the audio
    with torch.no_grad():
        model.spec_augment.eval()
        model(audio, length)
        model.eval()
        encoded, _ = model.encoder(*model.preprocessor(audio, length))
        last = model.decoder.decoder_layers[0]
        last.bias -= last(encoded).mean(dim=(0, 2))  # no token wins everywhere
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm1d):
            norm.momentum = 0.1
    return model


@pytest.fixture(scope="session")
def _made() -> CTCModel:
    return make_model()


@pytest.fixture
def model(_made: CTCModel) -> CTCModel:
    """A small model with random weights for audio of 8 kHz."""
    torch.manual_seed(0)
    return copy.deepcopy(_made)


def speech_like(seconds: float, rate: int = 8000, seed: int = 0) -> np.ndarray:
    """Noise in bursts: has an envelope, as speech has."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    return (0.2 * rng.standard_normal(len(time)) * np.abs(np.sin(2 * np.pi * 2 * time))).astype(np.float32)


@pytest.fixture
def wav(tmp_path: Path) -> Callable[..., Path]:
    """Write a WAV file and return its path: ``wav("a.wav", seconds=1.0, rate=8000, channels=1)``."""

    def write(name: str = "a.wav", seconds: float = 1.0, rate: int = 8000, channels: int = 1, seed: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        audio = speech_like(seconds, rate, seed)
        sf.write(path, audio if channels == 1 else np.stack([audio * (c + 1) for c in range(channels)], 1), rate)
        return path

    return write


def write_lines(path: Path, *lines: object) -> Path:
    """Write a manifest; strings are written as they are, all else as JSON."""
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path
