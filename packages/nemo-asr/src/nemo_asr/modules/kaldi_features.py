"""Filterbank energies, cepstral coefficients and spectra that equal those of Kaldi's binaries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nemo_asr.modules.kaldi_frames import FLOOR, KaldiFrontEnd
from nemo_core import types as nt
from nemo_core.errors import ConfigError

__all__ = ["KaldiFbank", "KaldiMFCC", "KaldiSpectrogram", "kaldi_filterbank"]


class KaldiFbank(KaldiFrontEnd):
    """Log-mel energies as of Kaldi's ``compute-fbank-feats``.

    Args:
        sample_rate: Samples per second of the audio that comes in, Hz.
        num_mel_bins: Number of mel bins.
        low_freq: Lower edge of the filterbank, Hz.
        high_freq: Upper edge, Hz; 0 or less is counted from half the sample rate.
        use_log_fbank: Whether to take the logarithm.
        use_power: Whether filters weight the power spectrum, or else the magnitudes.
        use_energy: Whether the log energy of the frame comes before the bins.
        htk_compat: Whether it comes after them.
        framing: Arguments of :class:`~nemo_asr.modules.kaldi_frames.KaldiFrontEnd`.

    Example:
        >>> fbank = KaldiFbank(sample_rate=8000, num_mel_bins=40)
        >>> features, length = fbank(audio=torch.randn(2, 8000), length=torch.tensor([8000, 4000]))
        >>> features.shape, length.tolist()
        (torch.Size([2, 40, 98]), [98, 48])
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        *,
        num_mel_bins: int = 23,
        low_freq: float = 20.0,
        high_freq: float = 0.0,
        use_log_fbank: bool = True,
        use_power: bool = True,
        use_energy: bool = False,
        htk_compat: bool = False,
        **framing: Any,
    ) -> None:
        super().__init__(sample_rate, **framing)
        self.use_log_fbank = use_log_fbank
        self.use_power = use_power
        self.use_energy = use_energy
        self.htk_compat = htk_compat
        bank = kaldi_filterbank(sample_rate, self.n_fft, num_mel_bins, low_freq, high_freq)
        self.register_buffer("filterbank", bank, persistent=False)
        self.filterbank: Tensor

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``features`` (B, D, T) and ``length`` (B,) in frames."""
        return {**super().output_types, "features": nt.NeuralType(("B", "D", "T"), nt.MelSpectrogram())}

    def features_of(self, power: Tensor, energy: Tensor) -> Tensor:
        """Return the mel energies (B, T, D)."""
        x = (power if self.use_power else power.sqrt()) @ self.filterbank
        if self.use_log_fbank:
            x = x.clamp(min=FLOOR).log()
        if not self.use_energy:
            return x
        parts = [energy.unsqueeze(2), x]
        return torch.cat(parts[::-1] if self.htk_compat else parts, dim=2)


class KaldiMFCC(KaldiFrontEnd):
    """Cepstral coefficients as of Kaldi's ``compute-mfcc-feats``.

    Args:
        sample_rate: Samples per second of the audio that comes in, Hz.
        num_ceps: Number of coefficients, with the first.
        num_mel_bins: Number of mel bins.
        low_freq: Lower edge of the filterbank, Hz.
        high_freq: Upper edge, Hz; 0 or less is counted from half the sample rate.
        cepstral_lifter: Constant that scales the coefficients; 0 for none.
        use_energy: Whether the log energy of the frame stands in for the first coefficient.
        htk_compat: Whether the first coefficient comes last; if it is not the energy, times the square root of two.
        framing: Arguments of :class:`~nemo_asr.modules.kaldi_frames.KaldiFrontEnd`.

    Example:
        >>> mfcc = KaldiMFCC(sample_rate=8000)
        >>> features, length = mfcc(audio=torch.randn(1, 8000), length=torch.tensor([8000]))
        >>> features.shape
        torch.Size([1, 13, 98])
    """

    def __init__(
        self,
        sample_rate: int = 16000,
        *,
        num_ceps: int = 13,
        num_mel_bins: int = 23,
        low_freq: float = 20.0,
        high_freq: float = 0.0,
        cepstral_lifter: float = 22.0,
        use_energy: bool = True,
        htk_compat: bool = False,
        **framing: Any,
    ) -> None:
        super().__init__(sample_rate, **framing)
        if not 1 <= num_ceps <= num_mel_bins:
            raise ConfigError(f"num_ceps {num_ceps} is not between 1 and num_mel_bins, {num_mel_bins}")
        self.use_energy = use_energy
        self.htk_compat = htk_compat
        bank = kaldi_filterbank(sample_rate, self.n_fft, num_mel_bins, low_freq, high_freq)
        self.register_buffer("filterbank", bank, persistent=False)
        self.register_buffer("dct", _cepstral_matrix(num_ceps, num_mel_bins, cepstral_lifter), persistent=False)
        self.filterbank: Tensor
        self.dct: Tensor

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``features`` (B, D, T) and ``length`` (B,) in frames."""
        return {**super().output_types, "features": nt.NeuralType(("B", "D", "T"), nt.MFCC())}

    def features_of(self, power: Tensor, energy: Tensor) -> Tensor:
        """Return the coefficients (B, T, D)."""
        x = (power @ self.filterbank).clamp(min=FLOOR).log() @ self.dct
        first = energy.unsqueeze(2) if self.use_energy else x[..., :1]
        if not self.htk_compat:
            return torch.cat([first, x[..., 1:]], dim=2)
        return torch.cat([x[..., 1:], first if self.use_energy else math.sqrt(2.0) * first], dim=2)


class KaldiSpectrogram(KaldiFrontEnd):
    """Log power spectra as of Kaldi's ``compute-spectrogram-feats``; the log energy stands in for the first bin.

    Args:
        sample_rate: Samples per second of the audio that comes in, Hz.
        framing: Arguments of :class:`~nemo_asr.modules.kaldi_frames.KaldiFrontEnd`.

    Example:
        >>> spectrogram = KaldiSpectrogram(sample_rate=8000)
        >>> features, length = spectrogram(audio=torch.randn(1, 8000), length=torch.tensor([8000]))
        >>> features.shape
        torch.Size([1, 129, 98])
    """

    def __init__(self, sample_rate: int = 16000, **framing: Any) -> None:
        super().__init__(sample_rate, **framing)

    def features_of(self, power: Tensor, energy: Tensor) -> Tensor:
        """Return the log power spectra (B, T, n_fft // 2 + 1)."""
        return torch.cat([energy.unsqueeze(2), power[..., 1:].clamp(min=FLOOR).log()], dim=2)


def kaldi_filterbank(sample_rate: int, n_fft: int, n_mels: int, low: float = 20.0, high: float = 0.0) -> Tensor:
    """Return Kaldi's filters (n_fft // 2 + 1, n_mels): triangles on the mel axis, not on that of frequency.

    Example:
        >>> kaldi_filterbank(16000, 512, 23).shape
        torch.Size([257, 23])
    """
    nyquist = sample_rate / 2
    top = high if high > 0 else nyquist + high
    if not 0 <= low < top <= nyquist:
        raise ConfigError(
            f"the filterbank reaches from {low} to {top} Hz, not within 0 and {nyquist} Hz",
            hint="check low_freq and high_freq",
        )
    edges = torch.linspace(_mel(low), _mel(top), n_mels + 2, dtype=torch.float64)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * (sample_rate / n_fft)
    mel = 1127.0 * torch.log1p(bins / 700.0).unsqueeze(1)
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    bank = torch.minimum(rising, falling).clamp(min=0.0)
    bank[n_fft // 2] = 0.0  # Kaldi leaves the highest bin out
    return bank.float()


def _mel(hz: float) -> float:
    return 1127.0 * math.log1p(hz / 700.0)


def _cepstral_matrix(num_ceps: int, n_mels: int, lifter: float) -> Tensor:
    """Return the orthonormal cosine transform (n_mels, num_ceps) with the lifter in it."""
    k = torch.arange(num_ceps, dtype=torch.float64)
    n = torch.arange(n_mels, dtype=torch.float64).unsqueeze(1)
    matrix = math.sqrt(2.0 / n_mels) * torch.cos(math.pi / n_mels * (n + 0.5) * k)
    matrix[:, 0] = math.sqrt(1.0 / n_mels)
    if lifter:
        matrix *= 1.0 + 0.5 * lifter * torch.sin(math.pi * k / lifter)
    return matrix.float()
