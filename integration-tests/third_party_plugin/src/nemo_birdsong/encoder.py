"""The encoder of songs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nemo_birdsong.songs import SAMPLE_RATE
from nemo_core.modules import NeuralModule
from nemo_core.types import AcousticEncoded, AudioSignal, NeuralType, typed

__all__ = ["SongEncoder"]


class SongEncoder(NeuralModule):
    """Strided convolutions over the log-spectrogram (16 ms windows every 8 ms).

    Args:
        width: Channels of the output.

    Example:
        >>> SongEncoder(width=4)(audio=torch.zeros(2, 16000)).shape
        torch.Size([2, 4, 32])
    """

    input_types = {"audio": NeuralType(("B", "T"), AudioSignal(SAMPLE_RATE))}
    output_types = {"encoded": NeuralType(("B", "D", "T"), AcousticEncoded())}

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(256), persistent=False)
        self.layers = nn.Sequential(
            nn.Conv1d(129, width, 5, stride=2, padding=2),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, width, 5, stride=2, padding=2),
            nn.ReLU(),
        )

    @typed
    def forward(self, audio: Tensor) -> Tensor:
        """Return the encoded song (B, D, T')."""
        spectrum = torch.stft(audio, 256, hop_length=128, window=self.window, return_complex=True)
        return self.layers(torch.log(spectrum.abs() + 1e-3))
