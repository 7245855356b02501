"""Audio cut into windowed frames, and their power spectra, as Kaldi does it."""

from __future__ import annotations

import abc
import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.audio.front_end import FrontEnd
from nemo_core.errors import ConfigError

__all__ = ["FLOOR", "KaldiFrontEnd", "kaldi_window"]

FLOOR = torch.finfo(torch.float32).eps
"""What energies are raised to before their logarithm is taken."""

_WINDOWS = ("povey", "hamming", "hanning", "blackman", "sine", "rectangular")


class KaldiFrontEnd(FrontEnd):
    """Base of the front ends that give what Kaldi's binaries give: frames, their energy and their power spectrum.

    Names and defaults of the arguments are those of Kaldi's options. Audio comes in as everywhere, in [-1, 1], and is
    brought to the range of 16-bit samples, with which Kaldi computes. Dither is added in training only, so that
    evaluation gives the same twice; Kaldi adds it always.

    Args:
        sample_rate: Samples per second of the audio that comes in, Hz (Kaldi: ``sample-frequency``).
        frame_length: Window, milliseconds.
        frame_shift: Hop between windows, milliseconds.
        dither: Standard deviation of the white noise added to each frame in training, in steps of 16-bit samples.
        preemphasis_coefficient: Of the pre-emphasis filter.
        remove_dc_offset: Whether each frame loses its mean.
        window_type: ``povey``, ``hamming``, ``hanning``, ``blackman``, ``sine`` or ``rectangular``.
        blackman_coeff: Constant of the Blackman window.
        round_to_power_of_two: Whether frames are padded to a power of two for the Fourier transform.
        snip_edges: Whether only whole frames come out; if not, the ends of each utterance are mirrored, and there is a
            frame for every shift.
        raw_energy: Whether the energy is that before pre-emphasis and window.
        energy_floor: Least energy; 0 for none.
        scale: What audio is multiplied by.
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        *,
        frame_length: float = 25.0,
        frame_shift: float = 10.0,
        dither: float = 1.0,
        preemphasis_coefficient: float = 0.97,
        remove_dc_offset: bool = True,
        window_type: Literal["povey", "hamming", "hanning", "blackman", "sine", "rectangular"] = "povey",
        blackman_coeff: float = 0.42,
        round_to_power_of_two: bool = True,
        snip_edges: bool = True,
        raw_energy: bool = True,
        energy_floor: float = 0.0,
        scale: float = 32768.0,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.win_length = int(sample_rate * 0.001 * frame_length)
        self.hop_length = int(sample_rate * 0.001 * frame_shift)
        if self.win_length < 2 or self.hop_length < 1:
            raise ConfigError("the window must be at least two samples long, and its shift one")
        if not 0 <= preemphasis_coefficient <= 1:
            raise ConfigError(f"preemphasis_coefficient {preemphasis_coefficient} is not between 0 and 1")
        self.n_fft = 2 ** math.ceil(math.log2(self.win_length)) if round_to_power_of_two else self.win_length
        self.dither = dither
        self.preemphasis_coefficient = preemphasis_coefficient
        self.remove_dc_offset = remove_dc_offset
        self.snip_edges = snip_edges
        self.raw_energy = raw_energy
        self.energy_floor = energy_floor
        self.scale = scale
        window = kaldi_window(window_type, self.win_length, blackman_coeff)
        self.register_buffer("window", window, persistent=False)  # follows from the arguments
        self.window: Tensor

    @nt.typed
    @torch.no_grad()
    def forward(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, D, T), zero beyond the end of an utterance, and their lengths (B,) in frames."""
        with torch.autocast(device_type=audio.device.type, enabled=False):
            frames, energy = self._frames(audio.float() * self.scale, length)
            spectrum = torch.fft.rfft(frames, n=self.n_fft)
            power = spectrum.real.square() + spectrum.imag.square()
            features = self.features_of(power, energy).transpose(1, 2)
        count = self.frame_lengths(length)
        beyond = torch.arange(features.shape[2], device=audio.device) >= count.unsqueeze(1)
        return features.masked_fill(beyond.unsqueeze(1), 0.0), count

    @abc.abstractmethod
    def features_of(self, power: Tensor, energy: Tensor) -> Tensor:
        """Return features (B, T, D) of power spectra (B, T, n_fft // 2 + 1) and log energies (B, T)."""

    def frame_lengths(self, length: Tensor) -> Tensor:
        """Return how many frames (B,) come out for audio of ``length`` (B,) samples."""
        start = -self.win_length + self.hop_length if self.snip_edges else self.hop_length // 2
        return torch.div(length + start, self.hop_length, rounding_mode="floor").clamp(min=0).to(torch.long)

    def _frames(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return windowed frames (B, T, win_length) and their log energy (B, T)."""
        frames = self._cut(audio, length)
        if self.training and self.dither > 0:
            frames = frames + self.dither * torch.randn_like(frames)
        if self.remove_dc_offset:
            frames = frames - frames.mean(dim=2, keepdim=True)
        energy = _log_energy(frames)
        if self.preemphasis_coefficient:
            before = torch.cat([frames[..., :1], frames[..., :-1]], dim=2)
            frames = frames - self.preemphasis_coefficient * before
        frames = frames * self.window
        if not self.raw_energy:
            energy = _log_energy(frames)
        if self.energy_floor > 0:
            energy = energy.clamp(min=math.log(self.energy_floor))
        return frames, energy

    def _cut(self, audio: Tensor, length: Tensor) -> Tensor:
        if self.snip_edges:
            missing = self.win_length - audio.shape[1]
            return F.pad(audio, (0, max(missing, 0))).unfold(1, self.win_length, self.hop_length)
        count = max((audio.shape[1] + self.hop_length // 2) // self.hop_length, 1)
        first = self.hop_length // 2 - self.win_length // 2
        starts = torch.arange(count, device=audio.device) * self.hop_length + first
        place = starts.unsqueeze(1) + torch.arange(self.win_length, device=audio.device)
        # Mirrored at both ends of each utterance, as often as it takes: a triangle wave of period two lengths.
        length = length.clamp(min=1).view(-1, 1, 1)
        place = place.remainder(2 * length)
        place = torch.minimum(place, 2 * length - 1 - place)
        return F.pad(audio, (0, int(audio.shape[1] == 0))).gather(1, place.flatten(1)).view(place.shape)


def _log_energy(frames: Tensor) -> Tensor:
    return frames.square().sum(dim=2).clamp(min=FLOOR).log()


def kaldi_window(kind: str, length: int, blackman_coeff: float = 0.42) -> Tensor:
    """Return a window (length,) as Kaldi computes it.

    Example:
        >>> kaldi_window("hanning", 5).tolist()
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    phase = 2 * math.pi / (length - 1) * torch.arange(length, dtype=torch.float64)
    hanning = 0.5 - 0.5 * phase.cos()
    if kind == "povey":
        window = hanning**0.85
    elif kind == "hanning":
        window = hanning
    elif kind == "hamming":
        window = 0.54 - 0.46 * phase.cos()
    elif kind == "sine":
        window = (0.5 * phase).sin()
    elif kind == "blackman":
        window = blackman_coeff - 0.5 * phase.cos() + (0.5 - blackman_coeff) * (2 * phase).cos()
    elif kind == "rectangular":
        window = torch.ones_like(phase)
    else:
        raise ConfigError(f"window_type {kind!r} is not known", hint=f"one of {', '.join(_WINDOWS)}")
    return window.float()
