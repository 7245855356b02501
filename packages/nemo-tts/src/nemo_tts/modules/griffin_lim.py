"""From a mel spectrogram to audio without a trained network."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.audio.mel import MelSpectrogram
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule

__all__ = ["GriffinLimInversion"]

_PROJECTIONS = 30  # steps of the least-squares search for magnitudes that are not negative


class GriffinLimInversion(NeuralModule):
    """Inverts a mel spectrogram by the fast Griffin-Lim algorithm (Perraudin et al., WASPAA 2013).

    Magnitudes are found that are not negative and whose mel bins are nearest to those given; phases are found by going
    back and forth between audio and spectrum. The initial phases depend on ``seed`` alone, so that a spectrogram always
    gives the same audio.

    Args:
        mel: How the spectrograms are made; without normalisation, pre-emphasis or splicing, which cannot be undone.
        iterations: How often to go back and forth.
        momentum: Of the fast algorithm; 0 for the classical one (Griffin & Lim, 1984).
        seed: Of the initial phases.

    Raises:
        ConfigError: ``mel`` makes features that cannot be inverted.

    Example:
        >>> settings = dict(n_window_size=512, n_window_stride=128, normalize=None, preemph=None, pad_to=0, dither=0.0)
        >>> mel = MelSpectrogram(8000, features=40, **settings).eval()
        >>> tone = torch.sin(2 * torch.pi * 440 * torch.arange(4096) / 8000).unsqueeze(0)
        >>> spectrogram, frames = mel(tone, torch.tensor([4096]))
        >>> GriffinLimInversion(mel, iterations=8)(spectrogram[:, :, : int(frames)]).shape
        torch.Size([1, 4096])
    """

    def __init__(self, mel: MelSpectrogram, iterations: int = 60, momentum: float = 0.99, seed: int = 0) -> None:
        super().__init__()
        if mel.normalize not in (None, "NA") or mel.preemph is not None or mel.frame_splicing > 1:
            raise ConfigError(
                "features that are normalised, pre-emphasised or spliced cannot be turned into audio",
                hint="set normalize and preemph to null and frame_splicing to 1",
            )
        if iterations < 1 or not 0 <= momentum < 1:
            raise ConfigError(f"iterations {iterations} and momentum {momentum} are not >= 1 and in [0, 1)")
        self.mel = mel
        self.iterations, self.momentum, self.seed = iterations, momentum, seed
        self.register_buffer("inverse", torch.linalg.pinv(mel.filterbank), persistent=False)
        self.inverse: Tensor
        # The largest step at which the least-squares search is sure to come down.
        self._step = 1.0 / float(torch.linalg.matrix_norm(mel.filterbank, ord=2)) ** 2

    @property
    def hop_length(self) -> int:
        """Samples that come out for each frame."""
        return self.mel.hop_length

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``spectrogram`` (B, D, M)."""
        return {"spectrogram": nt.NeuralType(("B", f"D:{self.mel.n_mels}", "T"), self.mel.element)}

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``audio`` (B, T)."""
        return {"audio": nt.NeuralType(("B", "T"), nt.AudioSignal(freq=self.mel.sample_rate))}

    @nt.typed
    @torch.no_grad()
    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return audio (B, T), a hop for each frame."""
        magnitude = self.magnitude(spectrogram.float())
        # One frame more than there are hops, so that the last hop lies under as many windows as any other.
        magnitude = F.pad(magnitude, (0, 1), mode="replicate")
        length = spectrogram.shape[2] * self.hop_length
        generator = torch.Generator().manual_seed(self.seed)
        turns = torch.rand(magnitude.shape[1:], generator=generator).to(magnitude.device)
        angles = torch.polar(torch.ones_like(turns), 2 * torch.pi * turns).expand_as(magnitude)
        before = torch.zeros_like(angles)
        share = self.momentum / (1 + self.momentum)
        for _ in range(self.iterations):
            rebuilt = self._spectrum(self._audio(magnitude * angles, length))
            angles = rebuilt - share * before
            angles = angles / angles.abs().clamp(min=1e-16)
            before = rebuilt
        audio = self._audio(magnitude * angles, length)
        if self.mel.exact_pad:  # there the first frame is centred half a hop after the start
            audio = F.pad(audio, (self.hop_length // 2, 0))[:, :length]
        return audio

    def magnitude(self, spectrogram: Tensor) -> Tensor:
        """Return the magnitudes (B, F, M) whose mel bins come nearest to ``spectrogram`` (B, D, M)."""
        mel = self.mel
        if mel.log:
            spectrogram = spectrogram.exp()
            if mel.log_zero_guard_type == "add":
                spectrogram = spectrogram - mel.log_zero_guard_value
        wanted = spectrogram.clamp(min=0.0)
        power = (self.inverse @ wanted).clamp(min=0.0)
        for _ in range(_PROJECTIONS):  # projected gradients of |bank @ power - wanted|^2
            rest = mel.filterbank @ power - wanted
            power = (power - self._step * (mel.filterbank.t() @ rest)).clamp(min=0.0)
        return power if mel.mag_power == 1.0 else power.pow(1 / mel.mag_power)

    def _spectrum(self, audio: Tensor) -> Tensor:
        mel = self.mel
        return torch.stft(
            audio, mel.n_fft, mel.hop_length, mel.win_length, mel.window, pad_mode="constant", return_complex=True
        )

    def _audio(self, spectrum: Tensor, length: int) -> Tensor:
        mel = self.mel
        return torch.istft(spectrum, mel.n_fft, mel.hop_length, mel.win_length, mel.window, length=length)
