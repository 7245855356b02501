"""What is known of speech beside its spectrogram: pitch and energy of each frame."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nemo_core.config.configured import Configured
from nemo_tts.data.pitch import track_pitch

if TYPE_CHECKING:
    from nemo_core.audio.mel import MelSpectrogram

__all__ = ["SpeechFeatures"]


class SpeechFeatures(Configured):
    """Pitch and energy, frame by frame as a model's spectrogram has them.

    Args:
        preprocessor: How the model makes spectrograms.
        pitch_fmin: Lowest pitch looked for, Hz.
        pitch_fmax: Highest pitch looked for, Hz.

    Example:
        >>> from nemo_core.audio import MelSpectrogram
        >>> mel = MelSpectrogram(8000, n_window_size=256, n_window_stride=64, features=40, normalize=None)
        >>> SpeechFeatures(mel)(np.zeros(6400, np.float32)).shape
        (2, 100)
    """

    def __init__(
        self,
        preprocessor: MelSpectrogram,
        pitch_fmin: float = 65.40639132514966,
        pitch_fmax: float = 2093.004522404789,
    ) -> None:
        self.preprocessor = preprocessor
        self.pitch_fmin, self.pitch_fmax = pitch_fmin, pitch_fmax

    def __call__(self, audio: np.ndarray) -> np.ndarray:
        """Return pitch in Hz, 0 where there is no voice, and energy (2, M) of audio (T,), float32.

        Energy is the norm of a frame's magnitude spectrum.
        """
        mel = self.preprocessor
        frames = self.frames(len(audio))
        first = mel.hop_length // 2 if mel.exact_pad else 0
        pitch = track_pitch(
            audio,
            mel.sample_rate,
            mel.hop_length,
            fmin=self.pitch_fmin,
            fmax=self.pitch_fmax,
            frames=frames,
            first=first,
        )
        return np.stack([pitch, self._energy(np.asarray(audio, dtype=np.float64), frames, first)]).astype(np.float32)

    def frames(self, samples: int) -> int:
        """Return how many frames audio of that many samples has."""
        import torch

        return int(self.preprocessor.frame_lengths(torch.tensor([samples]))[0])

    def key(self) -> str:
        """Return what tells features made with these settings from others."""
        mel = self.preprocessor
        settings = [mel.sample_rate, mel.hop_length, mel.win_length, mel.n_fft, mel.exact_pad, mel.feature_version]
        said = json.dumps([1, *settings, self.pitch_fmin, self.pitch_fmax])
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def _energy(self, audio: np.ndarray, frames: int, first: int) -> np.ndarray:
        """Return the norm of each frame's spectrum, by Parseval's theorem: no transform is needed."""
        mel = self.preprocessor
        if frames == 0:
            return np.zeros(0)
        window = mel.window.double().numpy()
        left = mel.win_length // 2 - first
        right = max(0, (frames - 1) * mel.hop_length + mel.win_length - left - len(audio))
        pieces = sliding_window_view(np.pad(audio, (left, right)), mel.win_length)
        pieces = pieces[: (frames - 1) * mel.hop_length + 1 : mel.hop_length] * window
        # The spectrum of real samples is symmetric but for its first and last point.
        ends = pieces.sum(1) ** 2
        if mel.n_fft % 2 == 0:
            ends = ends + (pieces * (-1.0) ** np.arange(mel.win_length)).sum(1) ** 2
        energy: np.ndarray = np.sqrt((mel.n_fft * (pieces**2).sum(1) + ends) / 2)
        return energy
