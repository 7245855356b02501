"""The generator of Vocos: the Fourier coefficients of audio, frame by frame."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.audio.mel import MelSpectrogram
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule
from nemo_tts.modules.griffin_lim import GriffinLimInversion

__all__ = ["VocosGenerator"]

_LOUDEST = 1e2  # bound of magnitudes, so that no step of training can overflow
_SOFTEST = 1e-5  # of magnitudes that mel bins tell, so that silence has a logarithm


class VocosGenerator(NeuralModule):
    """Generator that never leaves the rate of frames: ConvNeXt blocks and an inverse Fourier transform.

    It is that of Vocos (Siuzdak, ICLR 2024). All its work is products of large matrices, which a CPU does several times
    as fast as the convolutions of few channels and many samples that :class:`HiFiGanGenerator` and
    :class:`ISTFTGenerator` end with.

    Args:
        hop_length: Samples of a frame.
        n_fft: Samples of the window of the inverse transform; at least twice the hop.
        dim: Channels.
        n_layers: Blocks.
        expansion: Channels inside a block, in multiples of ``dim``.
        kernel_size: Frames that a block sees; odd.
        initial_input_size: Mel bins.
        mel: How the spectrograms are made: magnitudes then start from those that the mel bins tell, and only what they
            do not tell is left to learn (FreeV, Lv et al., Interspeech 2024), which is much sooner done. Its window
            has to be that of the inverse transform.

    Raises:
        ConfigError: The window is too short, or the kernel not odd.

    Example:
        >>> generator = VocosGenerator(hop_length=64, n_fft=256, dim=32, n_layers=2, initial_input_size=40)
        >>> generator(spectrogram=torch.randn(1, 40, 5)).shape
        torch.Size([1, 320])
    """

    def __init__(
        self,
        hop_length: int = 256,
        n_fft: int = 1024,
        dim: int = 512,
        n_layers: int = 8,
        expansion: int = 3,
        kernel_size: int = 7,
        initial_input_size: int = 80,
        mel: MelSpectrogram | None = None,
    ) -> None:
        super().__init__()
        if mel is not None and (mel.n_fft, mel.win_length, mel.hop_length) != (n_fft, n_fft, hop_length):
            raise ConfigError(
                f"the magnitudes of windows of {mel.win_length} samples, {mel.hop_length} apart, are not those of "
                f"windows of {n_fft}, {hop_length} apart",
                hint="set n_fft and hop_length to those of the spectrograms, or leave mel out",
            )
        if n_fft < 2 * hop_length or n_fft % 2:
            raise ConfigError(
                f"a window of {n_fft} samples does not cover frames {hop_length} apart", hint="n_fft=4*hop is usual"
            )
        if kernel_size % 2 == 0:
            raise ConfigError(f"a kernel of {kernel_size} frames has no middle", hint="give an odd number")
        self.hop_length, self.n_fft, self.n_mels = hop_length, n_fft, initial_input_size
        self.conv_pre = nn.Conv1d(initial_input_size, dim, kernel_size, padding=kernel_size // 2)
        self.norm_pre = nn.LayerNorm(dim)
        self.blocks = nn.ModuleList(_Block(dim, expansion * dim, kernel_size, 1 / n_layers) for _ in range(n_layers))
        self.norm_post = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, n_fft + 2)
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        self.inversion = None if mel is None else GriffinLimInversion(mel, iterations=1)
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.window: Tensor

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``spectrogram`` (B, D, M)."""
        element = nt.MelSpectrogram(n_mels=self.n_mels, hop_length=self.hop_length)
        return {"spectrogram": nt.NeuralType(("B", f"D:{self.n_mels}", "T"), element)}

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``audio`` (B, T)."""
        return {"audio": nt.NeuralType(("B", "T"), nt.AudioSignal())}

    @nt.typed
    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return audio (B, T)."""
        x = self.norm_pre(self.conv_pre(spectrogram).transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        coefficients = self.head(self.norm_post(x)).float().transpose(1, 2)
        # One frame more than there are hops, so that the last samples lie under as many windows as any other.
        magnitude, phase = coefficients.split(self.n_fft // 2 + 1, dim=1)
        if self.inversion is not None:
            with torch.no_grad():
                told = self.inversion.magnitude(spectrogram.float()).clamp(min=_SOFTEST).log()
            magnitude = magnitude + told
        spectrum = torch.polar(magnitude.exp().clamp(max=_LOUDEST), phase)
        spectrum = torch.cat([spectrum, spectrum[:, :, -1:]], dim=2)
        return torch.istft(spectrum, self.n_fft, self.hop_length, window=self.window)


class _Block(nn.Module):
    """A ConvNeXt block over frames (Liu et al., CVPR 2022)."""

    def __init__(self, dim: int, inner: int, kernel_size: int, scale: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.scale = nn.Parameter(torch.full((dim,), scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2))
        return x + self.scale * self.down(F.gelu(self.up(y)))
