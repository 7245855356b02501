"""Spectrograms of one length."""

from __future__ import annotations

import torch
from torch import Tensor

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule

__all__ = ["CropOrPad"]


class CropOrPad(NeuralModule):
    """Cut each utterance to a number of frames, or pad it with zeros on both sides.

    In training the stretch that is kept is random, in evaluation it is the middle.

    Args:
        audio_length: Frames that come out.

    Example:
        >>> crop = CropOrPad(audio_length=6).eval()
        >>> features, length = crop(features=torch.ones(1, 1, 4), length=torch.tensor([4]))
        >>> features.tolist(), length.tolist()
        ([[[0.0, 1.0, 1.0, 1.0, 1.0, 0.0]]], [6])
    """

    def __init__(self, audio_length: int) -> None:
        super().__init__()
        if audio_length < 1:
            raise ConfigError(f"audio_length is {audio_length} frames", hint="give at least 1")
        self.audio_length = audio_length

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``features`` (B, D, T) and ``length`` (B,) in frames."""
        return {
            "features": nt.NeuralType(("B", "D", "T"), nt.Spectrogram()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``features`` (B, D, audio_length) and ``length`` (B,), which is ``audio_length`` for all."""
        return {
            "features": nt.NeuralType(("B", "D", "T"), nt.Spectrogram()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @nt.typed
    def forward(self, features: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, D, audio_length) and their lengths (B,)."""
        spare = length - self.audio_length
        start = torch.div(spare, 2, rounding_mode="trunc")  # negative where frames are missing
        if self.training:
            drawn = (torch.rand(length.shape, device=length.device) * (spare + 1)).long()
            start = torch.where(spare > 0, drawn, start)
        position = torch.arange(self.audio_length, device=features.device) + start.unsqueeze(1)
        inside = (position >= 0) & (position < length.unsqueeze(1))
        source = position.clamp(min=0, max=features.shape[2] - 1).unsqueeze(1).expand(-1, features.shape[1], -1)
        cropped = features.gather(2, source).masked_fill(~inside.unsqueeze(1), 0.0)
        return cropped, torch.full_like(length, self.audio_length)
