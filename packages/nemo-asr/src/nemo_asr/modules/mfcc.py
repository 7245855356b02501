"""Mel-frequency cepstral coefficients, step for step as torchaudio computes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.audio.front_end import FrontEnd
from nemo_core.errors import ConfigError

__all__ = ["MFCC", "dct_matrix", "htk_filterbank"]

_WINDOWS: dict[str, Callable[[int], Tensor]] = {
    "hann": torch.hann_window,
    "hamming": torch.hamming_window,
    "blackman": torch.blackman_window,
    "bartlett": torch.bartlett_window,
    "ones": torch.ones,
}
_LOG_GUARD = 1e-6
_POWER_FLOOR = 1e-10
_DYNAMIC_RANGE = 80.0  # dB


class MFCC(FrontEnd):
    """Mel-frequency cepstral coefficients of a batch of waveforms.

    The defaults, the names of the arguments and the numbers are those of NVIDIA NeMo's ``AudioToMFCCPreprocessor``,
    which are torchaudio's: power spectrum of frames centred on multiples of the stride, triangular filters of height
    one on HTK's mel scale, logarithm, discrete cosine transform. Everything is computed in float32, and nothing is
    normalised. The ends of the batch's audio are mirrored, so the last frames of an utterance depend on whether it is
    padded.

    Args:
        sample_rate: Samples per second of the audio that comes in, Hz.
        window_size: Analysis window, seconds (or ``n_window_size``, samples).
        window_stride: Hop between windows, seconds (or ``n_window_stride``, samples).
        window: ``hann``, ``hamming``, ``blackman``, ``bartlett``, or ``ones`` (None) for a rectangular one; periodic.
        n_fft: Points of the Fourier transform; by default the next power of two of the window.
        lowfreq: Lower edge of the filterbank, Hz.
        highfreq: Upper edge of the filterbank, Hz; by default half the sample rate.
        n_mels: Number of mel bins.
        n_mfcc: Number of coefficients; not more than mel bins.
        dct_type: 2, the only one there is.
        norm: ``ortho`` for an orthonormal transform, or None.
        log: Natural logarithm; if false, decibels, of which the lowest are 80 below the utterance's highest.

    Example:
        >>> mfcc = MFCC(sample_rate=8000, n_mfcc=20)
        >>> features, length = mfcc(audio=torch.randn(2, 8000), length=torch.tensor([8000, 4000]))
        >>> features.shape, length.tolist()
        (torch.Size([2, 20, 101]), [100, 50])
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        window_size: float = 0.02,
        window_stride: float = 0.01,
        n_window_size: int | None = None,
        n_window_stride: int | None = None,
        window: str | None = "hann",
        n_fft: int | None = None,
        lowfreq: float = 0.0,
        highfreq: float | None = None,
        n_mels: int = 64,
        n_mfcc: int = 64,
        dct_type: int = 2,
        norm: Literal["ortho"] | None = "ortho",
        log: bool = True,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.win_length = n_window_size or int(window_size * sample_rate)
        self.hop_length = n_window_stride or int(window_stride * sample_rate)
        self.n_fft = n_fft or 2 ** math.ceil(math.log2(max(self.win_length, 2)))
        self.log = log
        window = window or "ones"
        if window not in _WINDOWS:
            raise ConfigError(f"window {window!r} is not known", hint=f"one of {', '.join(_WINDOWS)}, or null")
        if self.win_length < 1 or self.hop_length < 1:
            raise ConfigError("the window and its stride must each be at least one sample long")
        if self.win_length > self.n_fft:
            raise ConfigError(f"n_fft {self.n_fft} is shorter than the window of {self.win_length} samples")
        if not 1 <= n_mfcc <= n_mels:
            raise ConfigError(f"n_mfcc {n_mfcc} is not between 1 and n_mels, {n_mels}")
        if dct_type != 2 or norm not in ("ortho", None):
            raise ConfigError(f"dct_type {dct_type} with norm {norm!r} is not offered", hint="use 2, and ortho or null")
        highest = highfreq or float(sample_rate // 2)
        bank = htk_filterbank(self.n_fft // 2 + 1, n_mels, lowfreq, highest, sample_rate)
        # All three follow from the arguments, so they are no part of the state.
        self.register_buffer("window", _WINDOWS[window](self.win_length), persistent=False)
        self.register_buffer("filterbank", bank, persistent=False)
        self.register_buffer("dct", dct_matrix(n_mfcc, n_mels, ortho=norm == "ortho"), persistent=False)
        self.window: Tensor
        self.filterbank: Tensor
        self.dct: Tensor

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``features`` (B, D, T) and ``length`` (B,) in frames."""
        return {**super().output_types, "features": nt.NeuralType(("B", "D", "T"), nt.MFCC())}

    @property
    def sees_padding(self) -> bool:
        """True: the end of an utterance is mirrored where it is the end of the batch."""
        return True

    @nt.typed
    @torch.no_grad()
    def forward(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return coefficients (B, D, T) and their lengths (B,) in frames."""
        with torch.autocast(device_type=audio.device.type, enabled=False):
            return self._coefficients(audio.float()), self.frame_lengths(length)

    def frame_lengths(self, length: Tensor) -> Tensor:
        """Return how many frames (B,) come out for audio of ``length`` (B,) samples."""
        return torch.div(length + self.hop_length - 1, self.hop_length, rounding_mode="floor").to(torch.long)

    def _coefficients(self, audio: Tensor) -> Tensor:
        if audio.shape[1] <= self.n_fft // 2:
            audio = F.pad(audio, (0, self.n_fft // 2 + 1 - audio.shape[1]))  # too short to be mirrored
        spectrum = torch.stft(
            audio,
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            win_length=self.win_length,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        x = self.filterbank @ (spectrum.real.square() + spectrum.imag.square())
        if self.log:
            x = torch.log(x + _LOG_GUARD)
        else:
            x = 10.0 * torch.log10(x.clamp(min=_POWER_FLOOR))
            x = torch.maximum(x, x.amax(dim=(1, 2), keepdim=True) - _DYNAMIC_RANGE)
        return self.dct @ x


def htk_filterbank(bins: int, n_mels: int, low: float, high: float, sample_rate: int) -> Tensor:
    """Return triangular filters of height one (n_mels, bins) from ``low`` to ``high`` Hz on HTK's mel scale.

    Example:
        >>> htk_filterbank(257, 64, 0.0, 8000.0, 16000).shape
        torch.Size([64, 257])
    """
    if not 0 <= low < high:
        raise ConfigError(f"the filterbank reaches from {low} to {high} Hz", hint="lowfreq must be below highfreq")
    bottom, top = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (low, high))
    edges = 700.0 * (10.0 ** (torch.linspace(bottom, top, n_mels + 2) / 2595.0) - 1.0)
    slopes = edges.unsqueeze(1) - torch.linspace(0, sample_rate // 2, bins)
    widths = edges.diff().unsqueeze(1)
    return torch.minimum(-slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]).clamp(min=0.0)


def dct_matrix(n_coefficients: int, n: int, *, ortho: bool = True) -> Tensor:
    """Return the first rows (n_coefficients, n) of the discrete cosine transform of type II.

    Example:
        >>> matrix = dct_matrix(4, 4)
        >>> torch.allclose(matrix @ matrix.T, torch.eye(4), atol=1e-6)
        True
    """
    # In float32 and in this order: the rounding errors are torchaudio's, and show where a frame is silent.
    matrix = torch.cos(math.pi / n * (torch.arange(n) + 0.5) * torch.arange(n_coefficients).unsqueeze(1))
    if not ortho:
        return 2.0 * matrix
    matrix[0] *= math.sqrt(0.5)
    return matrix * math.sqrt(2.0 / n)
