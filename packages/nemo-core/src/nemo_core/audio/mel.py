"""Log-mel features, step for step as NVIDIA NeMo computes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.audio.front_end import FrontEnd
from nemo_core.errors import ConfigError

__all__ = ["MelSpectrogram", "mel_filterbank", "normalize_features"]

_WINDOWS = {
    "hann": torch.hann_window,
    "hamming": torch.hamming_window,
    "blackman": torch.blackman_window,
    "bartlett": torch.bartlett_window,
}


class MelSpectrogram(FrontEnd):
    """Log-mel spectrogram of a batch of waveforms.

    The defaults, the names of the arguments and the order of the steps are those of NVIDIA NeMo's
    ``AudioToMelSpectrogramPreprocessor``, so that its configurations and weights can be used unchanged: dither
    (training only), pre-emphasis, short-time Fourier transform, power, mel filterbank, logarithm, normalisation,
    masking, padding. Everything is computed in float32.

    Args:
        sample_rate: Samples per second of the audio that comes in, Hz.
        window_size: Analysis window, seconds (or ``n_window_size``, samples).
        window_stride: Hop between windows, seconds (or ``n_window_stride``, samples).
        window: ``hann``, ``hamming``, ``blackman``, ``bartlett``, or None for a rectangular one.
        normalize: ``per_feature`` (each mel bin of each utterance), ``all_features`` (each utterance), a mapping with
            ``fixed_mean`` and ``fixed_std``, or None (``NA``) for none.
        n_fft: Points of the Fourier transform; by default the next power of two of the window.
        preemph: Coefficient of the pre-emphasis filter ``y[t] = x[t] - preemph * x[t-1]``; None for none.
        features: Number of mel bins.
        lowfreq: Lower edge of the filterbank, Hz.
        highfreq: Upper edge of the filterbank, Hz; by default half the sample rate.
        log: Whether to take the logarithm.
        log_zero_guard_type: ``add`` the guard, or ``clamp`` to it, before the logarithm.
        log_zero_guard_value: A number, or ``tiny`` or ``eps`` of float32.
        dither: Standard deviation of the white noise added in training.
        pad_to: The number of frames is padded to a multiple of this; 0 for no padding.
        pad_value: Value of frames beyond the end of an utterance.
        frame_splicing: Stack this many copies of the features (kept for old configurations).
        exact_pad: Pad by ``(n_fft - hop) / 2`` so that there are exactly ``length / hop`` frames.
        mag_power: Power of the magnitude spectrum: 2 for power, 1 for magnitude.
        mel_norm: ``slaney`` for triangles of equal area, None for triangles of height one.
        feature_version: 2 for the features of NeMo since 2.5, 1 for those before: one more frame per utterance,
            reflection at the edges, and no masking after the pre-emphasis.

    Example:
        >>> mel = MelSpectrogram(sample_rate=8000, features=40)
        >>> features, length = mel(audio=torch.randn(2, 8000), length=torch.tensor([8000, 4000]))
        >>> features.shape, length.tolist()
        (torch.Size([2, 40, 112]), [100, 50])
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        window_size: float = 0.02,
        window_stride: float = 0.01,
        n_window_size: int | None = None,
        n_window_stride: int | None = None,
        window: str | None = "hann",
        normalize: str | Mapping[str, Sequence[float]] | None = "per_feature",
        n_fft: int | None = None,
        preemph: float | None = 0.97,
        features: int = 64,
        lowfreq: float = 0.0,
        highfreq: float | None = None,
        log: bool = True,
        log_zero_guard_type: Literal["add", "clamp"] = "add",
        log_zero_guard_value: float | Literal["tiny", "eps"] = 2**-24,
        dither: float = 1e-5,
        pad_to: int = 16,
        frame_splicing: int = 1,
        exact_pad: bool = False,
        pad_value: float = 0.0,
        mag_power: float = 2.0,
        mel_norm: Literal["slaney"] | None = "slaney",
        feature_version: Literal[1, 2] = 2,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.win_length = n_window_size or int(window_size * sample_rate)
        self.hop_length = n_window_stride or int(window_stride * sample_rate)
        self.n_fft = n_fft or 2 ** math.ceil(math.log2(max(self.win_length, 2)))
        self.n_mels = features
        self.lowfreq = float(lowfreq)
        self.highfreq = float(sample_rate / 2 if highfreq is None else highfreq)
        self.normalize = normalize
        self.preemph = preemph
        self.log = log
        self.dither = dither
        self.pad_to = pad_to
        self.pad_value = pad_value
        self.frame_splicing = frame_splicing
        self.exact_pad = exact_pad
        self.mag_power = mag_power
        self.feature_version = feature_version
        self.log_zero_guard_type = log_zero_guard_type
        self.log_zero_guard_value = _guard(log_zero_guard_value)
        self._check(window, highfreq)

        make_window = _WINDOWS[window] if window is not None else None
        shape = torch.ones(self.win_length) if make_window is None else make_window(self.win_length, periodic=False)
        bank = mel_filterbank(
            sample_rate=sample_rate, n_fft=self.n_fft, n_mels=features, fmin=lowfreq, fmax=highfreq, norm=mel_norm
        )
        # Both follow from the arguments, so they are no part of the state: weights stay usable when a step is tuned.
        self.register_buffer("window", shape, persistent=False)
        self.register_buffer("filterbank", torch.from_numpy(bank), persistent=False)
        self.window: Tensor
        self.filterbank: Tensor

    def _check(self, window: str | None, highfreq: float | None) -> None:
        if window is not None and window not in _WINDOWS:
            raise ConfigError(f"window {window!r} is not known", hint=f"one of {', '.join(_WINDOWS)}, or null")
        if self.win_length > self.n_fft:
            raise ConfigError(f"n_fft {self.n_fft} is shorter than the window of {self.win_length} samples")
        if self.win_length < 1 or self.hop_length < 1:
            raise ConfigError("the window and its stride must each be at least one sample long")
        if highfreq is not None and highfreq > self.sample_rate / 2:
            raise ConfigError(
                f"highfreq {highfreq} Hz is above half the sample rate, {self.sample_rate / 2} Hz",
                hint="leave it out to use half the sample rate",
            )
        if self.log_zero_guard_type not in ("add", "clamp"):
            raise ConfigError(f"log_zero_guard_type {self.log_zero_guard_type!r} is neither 'add' nor 'clamp'")
        if self.feature_version not in (1, 2):
            raise ConfigError(f"feature_version {self.feature_version!r} is neither 1 nor 2")

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``features`` (B, D, T) and ``length`` (B,) in frames."""
        return {**super().output_types, "features": nt.NeuralType(("B", "D", "T"), self.element)}

    @property
    def element(self) -> nt.MelSpectrogram:
        """What the features are: with all that a vocoder must know, unless they are normalised by utterance."""
        if self.normalize not in (None, "NA"):
            return nt.MelSpectrogram()
        return nt.MelSpectrogram(
            n_mels=self.n_mels * self.frame_splicing,
            sample_rate=self.sample_rate,
            hop_length=self.hop_length,
            win_length=self.win_length,
            fmin=self.lowfreq,
            fmax=self.highfreq,
            power=self.mag_power,
            log=self.log,
        )

    @property
    def sees_padding(self) -> bool:
        """True for the features of NeMo before 2.5, which mirror the end of the batch, and for ``exact_pad``."""
        return self.feature_version == 1 or self.exact_pad

    @nt.typed
    @torch.no_grad()
    def forward(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, D, T) and their lengths (B,) in frames, without gradients."""
        return self.differentiable(audio, length)

    def differentiable(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same with gradients, for losses on audio that a network has made."""
        with torch.autocast(device_type=audio.device.type, enabled=False):
            return self._features(audio.float(), length)

    def _features(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        frames = self.frame_lengths(length)
        if self.exact_pad:
            edge = (self.n_fft - self.hop_length) // 2
            audio = F.pad(audio, (edge, edge))
        if self.training and self.dither > 0:
            audio = audio + self.dither * torch.randn_like(audio)
        if self.preemph is not None:
            audio = torch.cat((audio[:, :1], audio[:, 1:] - self.preemph * audio[:, :-1]), dim=1)
            if self.feature_version >= 2:
                beyond = torch.arange(audio.shape[1], device=audio.device) >= length.unsqueeze(1)
                audio = audio.masked_fill(beyond, 0.0)

        x = self._power_spectrum(audio)
        x = self.filterbank @ x
        if self.log:
            guard = self.log_zero_guard_value
            x = torch.log(x + guard) if self.log_zero_guard_type == "add" else torch.log(x.clamp(min=guard))
        if self.frame_splicing > 1:
            x = torch.cat([x] * self.frame_splicing, dim=1)
        x = normalize_features(x, frames, self.normalize)
        beyond = torch.arange(x.shape[2], device=x.device) >= frames.unsqueeze(1)
        x = x.masked_fill(beyond.unsqueeze(1), self.pad_value)
        if self.pad_to > 0 and x.shape[2] % self.pad_to:
            x = F.pad(x, (0, self.pad_to - x.shape[2] % self.pad_to), value=self.pad_value)
        return x, frames

    def _power_spectrum(self, audio: Tensor) -> Tensor:
        reflect = self.feature_version == 1
        if reflect and not self.exact_pad and audio.shape[1] <= self.n_fft // 2:
            audio = F.pad(audio, (0, self.n_fft // 2 + 1 - audio.shape[1]))  # too short to be reflected
        spectrum = torch.stft(
            audio,
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            win_length=self.win_length,
            window=self.window,
            center=not self.exact_pad,
            pad_mode="reflect" if reflect else "constant",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        if self.mag_power == 2.0:
            return power
        if power.requires_grad:
            power = power.clamp(min=1e-30)  # at zero, a root has an infinite gradient
        return power.sqrt() if self.mag_power == 1.0 else power.pow(self.mag_power / 2)

    def frame_lengths(self, length: Tensor) -> Tensor:
        """Return how many frames (B,) come out for audio of ``length`` (B,) samples."""
        edge = 2 * ((self.n_fft - self.hop_length) // 2 if self.exact_pad else self.n_fft // 2)
        frames = torch.div(length + edge - self.n_fft, self.hop_length, rounding_mode="floor")
        return (frames + 1 if self.feature_version == 1 else frames).clamp(min=0).to(torch.long)


def normalize_features(x: Tensor, length: Tensor, how: str | Mapping[str, Sequence[float]] | None) -> Tensor:
    """Return ``x`` (B, D, T) with zero mean and unit deviation over its first ``length`` (B,) frames.

    Example:
        >>> x = normalize_features(torch.tensor([[[1.0, 3.0, 99.0]]]), torch.tensor([2]), "per_feature")
        >>> [round(v, 3) for v in x[0, 0, :2].tolist()]
        [-0.707, 0.707]
    """
    if how is None or how == "NA":
        return x
    if isinstance(how, Mapping):
        mean = torch.as_tensor(how["fixed_mean"], dtype=x.dtype, device=x.device).view(-1, 1)
        std = torch.as_tensor(how["fixed_std"], dtype=x.dtype, device=x.device).view(-1, 1)
        return (x - mean) / std
    if how not in ("per_feature", "all_features"):
        raise ConfigError(
            f"normalize {how!r} is not known", hint="per_feature, all_features, fixed_mean with fixed_std, or null"
        )
    inside = (torch.arange(x.shape[2], device=x.device) < length.unsqueeze(1)).unsqueeze(1)
    dims, count = ((2,), length) if how == "per_feature" else ((1, 2), length * x.shape[1])
    count = count.view(-1, 1, 1)
    mean = x.masked_fill(~inside, 0.0).sum(dims, keepdim=True) / count.clamp(min=1)
    centred = (x - mean).masked_fill(~inside, 0.0)
    std = (centred.square().sum(dims, keepdim=True) / (count - 1).clamp(min=1)).sqrt()
    return (x - mean) / (std + 1e-5)  # 1e-5: digital silence has no deviation


def mel_filterbank(
    *, sample_rate: int, n_fft: int, n_mels: int, fmin: float = 0.0, fmax: float | None = None, norm: str | None = None
) -> np.ndarray:
    """Return the triangular mel filters (n_mels, n_fft // 2 + 1), on Slaney's mel scale.

    The scale is linear below 1 kHz and logarithmic above it (Slaney, Auditory Toolbox, 1998). ``norm="slaney"`` gives
    every triangle the same area.

    Example:
        >>> mel_filterbank(sample_rate=16000, n_fft=512, n_mels=64, norm="slaney").shape
        (64, 257)
    """
    edges = _mel_to_hz(np.linspace(_hz_to_mel(fmin), _hz_to_mel(fmax or sample_rate / 2), n_mels + 2))
    bins = np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    slopes = edges[:, None] - bins[None, :]
    widths = np.diff(edges)
    rising = -slopes[:-2] / widths[:-1, None]
    falling = slopes[2:] / widths[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    if norm == "slaney":
        triangles *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    elif norm is not None:
        raise ConfigError(f"mel_norm {norm!r} is not known", hint="slaney or null")
    filters: np.ndarray = triangles.astype(np.float32)
    return filters


_HZ_PER_MEL = 200.0 / 3  # below 1 kHz
_LOG_STEP = math.log(6.4) / 27  # above it


def _hz_to_mel(hz: float) -> float:
    return hz / _HZ_PER_MEL if hz < 1000 else 15 + math.log(hz / 1000) / _LOG_STEP


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * _HZ_PER_MEL, 1000 * np.exp((mel - 15) * _LOG_STEP))


def _guard(value: float | str) -> float:
    if isinstance(value, str):
        if value not in ("tiny", "eps"):
            raise ConfigError(f"log_zero_guard_value {value!r} is neither a number, 'tiny' nor 'eps'")
        return float(getattr(torch.finfo(torch.float32), value))
    return float(value)
