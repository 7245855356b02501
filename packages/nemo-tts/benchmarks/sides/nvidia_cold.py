"""One sentence to a file with NVIDIA NeMo, in its own environment: ``python nvidia_cold.py FOLDER SENTENCE``."""

from __future__ import annotations

import sys
from pathlib import Path

import soundfile
import torch
from nemo.collections.tts.models import FastPitchModel, HifiGanModel

folder = Path(sys.argv[1])
acoustic = FastPitchModel.restore_from(str(folder / "fastpitch.nvidia.nemo"), map_location="cpu").eval()
vocoder = HifiGanModel.restore_from(str(folder / "hifigan.nvidia.nemo"), map_location="cpu", strict=False).eval()
with torch.inference_mode():
    tokens = acoustic.parse(sys.argv[2])
    audio = vocoder.convert_spectrogram_to_audio(spec=acoustic.generate_spectrogram(tokens=tokens))
soundfile.write(folder / "theirs.wav", audio[0].numpy(), 22050)
