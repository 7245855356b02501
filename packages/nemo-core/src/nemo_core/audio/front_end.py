"""What all front ends have in common."""

from __future__ import annotations

from collections.abc import Mapping

from nemo_core import types as nt
from nemo_core.modules import NeuralModule

__all__ = ["FrontEnd"]


class FrontEnd(NeuralModule):
    """Base of the modules that turn audio into features.

    Attributes:
        sample_rate: Samples per second of the audio that comes in, Hz.
        hop_length: Samples from one frame to the next.
    """

    sample_rate: int
    hop_length: int

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``audio`` (B, T) and ``length`` (B,) in samples."""
        return {
            "audio": nt.NeuralType(("B", "T"), nt.AudioSignal(freq=self.sample_rate)),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``features`` (B, D, T) and ``length`` (B,) in frames."""
        return {
            "features": nt.NeuralType(("B", "D", "T"), nt.Spectrogram()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def frame_stride(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop_length / self.sample_rate

    @property
    def sees_padding(self) -> bool:
        """Whether the last frames of an utterance depend on what follows it in a padded batch."""
        return False
