"""A vocoder without weights."""

from __future__ import annotations

from torch import Tensor

from nemo_core import types as nt
from nemo_core.audio.mel import MelSpectrogram
from nemo_tts.models.vocoder import Vocoder
from nemo_tts.modules.griffin_lim import GriffinLimInversion

__all__ = ["GriffinLim"]


class GriffinLim(Vocoder):
    """Fast Griffin-Lim: needs no training, and sounds like it; see :class:`nemo_tts.modules.GriffinLimInversion`.

    Args:
        preprocessor: How the spectrograms are made.
        iterations: How often to go back and forth between audio and spectrum.
        momentum: Of the fast algorithm.
        seed: Of the initial phases.

    Example:
        >>> import torch
        >>> mel = MelSpectrogram(8000, features=20, normalize=None, preemph=None, n_window_stride=64)
        >>> GriffinLim(mel, iterations=2).vocode(torch.zeros(20, 9)).shape
        torch.Size([576])
    """

    def __init__(
        self, preprocessor: MelSpectrogram, iterations: int = 60, momentum: float = 0.99, seed: int = 0
    ) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.inversion = GriffinLimInversion(preprocessor, iterations, momentum, seed)

    @nt.typed
    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return audio (B, T)."""
        audio: Tensor = self.inversion(spectrogram=spectrogram)
        return audio
