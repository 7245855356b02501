"""Distance of two pieces of audio, as short-time spectra of several resolutions see them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import Loss

__all__ = ["MultiResolutionSTFTLoss"]

_FLOOR = 1e-5  # of magnitudes, so that silence has a logarithm


class MultiResolutionSTFTLoss(Loss):
    """Spectral convergence and distance of log magnitudes, averaged over resolutions.

    It is that of Parallel WaveGAN (Yamamoto et al., ICASSP 2020).

    A generator learns from it alone what sounds roughly right, for a fraction of what discriminators cost.

    Args:
        fft_sizes: Samples of the windows; they are a quarter of that apart.
        scale: What it is multiplied with.

    Raises:
        ConfigError: There is no size, or one below 16.

    Example:
        >>> loss = MultiResolutionSTFTLoss([64])
        >>> tone = torch.sin(torch.arange(512) / 4)[None]
        >>> float(loss(tone, tone)), float(loss(tone, 0 * tone)) > 1
        (0.0, True)
    """

    def __init__(self, fft_sizes: Sequence[int] = (256, 512, 1024), scale: float = 1.0) -> None:
        super().__init__()
        if not fft_sizes or min(fft_sizes) < 16:
            raise ConfigError(
                f"fft_sizes {list(fft_sizes)} are not all 16 and more", hint="for example [256, 512, 1024]"
            )
        self.fft_sizes, self.scale = list(fft_sizes), scale

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``real`` and ``generated``: audio (B, T)."""
        return {name: nt.NeuralType(("B", "T"), nt.AudioSignal()) for name in ("real", "generated")}

    @nt.typed
    def forward(self, real: Tensor, generated: Tensor) -> Tensor:
        """Return the loss."""
        losses = []
        for size in self.fft_sizes:
            window = torch.hann_window(size, device=real.device)
            wanted = _magnitudes(real.detach().float(), size, window)
            found = _magnitudes(generated.float(), size, window)
            convergence = torch.linalg.norm(wanted - found) / torch.linalg.norm(wanted).clamp(min=_FLOOR)
            losses.append(convergence + F.l1_loss(found.log(), wanted.log()))
        return self.scale * torch.stack(losses).mean()


def _magnitudes(audio: Tensor, size: int, window: Tensor) -> Tensor:
    spectrum = torch.stft(audio, size, size // 4, window=window, center=True, pad_mode="constant", return_complex=True)
    return torch.view_as_real(spectrum).square().sum(-1).clamp(min=_FLOOR**2).sqrt()
