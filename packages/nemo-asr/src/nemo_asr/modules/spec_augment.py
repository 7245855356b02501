"""Masking of spectrograms in training."""

from __future__ import annotations

import torch
from torch import Tensor

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule

__all__ = ["SpecAugment"]


class SpecAugment(NeuralModule):
    """Hide random rectangles, bands of time and bands of frequency; a no-op outside training.

    Rectangles are SpecCutout (DeVries and Taylor, 2017, arXiv:1708.04552); bands are SpecAugment (Park et al., 2019,
    arXiv:1904.08779). All masks of a batch are drawn at once, from torch's generator.

    Args:
        freq_masks: Bands of frequency per utterance.
        time_masks: Bands of time per utterance.
        freq_width: Widest band of frequency, bins.
        time_width: Longest band of time, frames; a float below one is a fraction of the utterance.
        rect_masks: Rectangles per utterance.
        rect_time: Longest rectangle, frames.
        rect_freq: Tallest rectangle, bins.
        mask_value: What masked values become.

    Example:
        >>> augment = SpecAugment(freq_masks=2, time_masks=2)
        >>> augment(features=torch.randn(2, 40, 100), length=torch.tensor([100, 60])).shape
        torch.Size([2, 40, 100])
    """

    def __init__(
        self,
        freq_masks: int = 0,
        time_masks: int = 0,
        freq_width: int = 10,
        time_width: int | float = 10,
        rect_masks: int = 0,
        rect_time: int = 5,
        rect_freq: int = 20,
        mask_value: float = 0.0,
    ) -> None:
        super().__init__()
        if isinstance(time_width, float) and not 0.0 <= time_width <= 1.0:
            raise ConfigError(f"time_width {time_width} is neither a whole number of frames nor a fraction of one")
        self.freq_masks = freq_masks
        self.time_masks = time_masks
        self.freq_width = freq_width
        self.time_width = time_width
        self.rect_masks = rect_masks
        self.rect_time = rect_time
        self.rect_freq = rect_freq
        self.mask_value = mask_value

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``features`` (B, D, T) and ``length`` (B,) in frames."""
        return {
            "features": nt.NeuralType(("B", "D", "T"), nt.Spectrogram()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``features`` (B, D, T)."""
        return {"features": nt.NeuralType(("B", "D", "T"), nt.Spectrogram())}

    @nt.typed
    @torch.no_grad()
    def forward(self, features: Tensor, length: Tensor) -> Tensor:
        """Return ``features`` with masks."""
        if not self.training or not (self.freq_masks or self.time_masks or self.rect_masks):
            return features
        _, bins, frames = features.shape
        every_bin = torch.full_like(length, bins)
        hidden = torch.zeros(features.shape, dtype=torch.bool, device=features.device)
        for _ in range(self.rect_masks):
            in_freq = _band(bins, every_bin, torch.full_like(length, self.rect_freq))
            in_time = _band(frames, length, torch.full_like(length, self.rect_time))
            hidden |= in_freq.unsqueeze(2) & in_time.unsqueeze(1)
        if isinstance(self.time_width, float):
            widest = (length * self.time_width).long()
        else:
            widest = torch.full_like(length, self.time_width)
        for _ in range(self.time_masks):
            hidden |= _band(frames, length, widest).unsqueeze(1)
        for _ in range(self.freq_masks):
            hidden |= _band(bins, every_bin, torch.full_like(length, self.freq_width)).unsqueeze(2)
        return features.masked_fill(hidden, self.mask_value)


def _band(size: int, length: Tensor, widest: Tensor) -> Tensor:
    """Return a mask (B, size) that is true on one random stretch of at most ``widest`` (B,) within ``length`` (B,)."""
    draw = torch.rand(2, length.shape[0], device=length.device)
    width = (draw[0] * (widest + 1)).long().minimum(length)
    start = (draw[1] * (length - width + 1)).long()
    position = torch.arange(size, device=length.device)
    return (position >= start.unsqueeze(1)) & (position < (start + width).unsqueeze(1))
