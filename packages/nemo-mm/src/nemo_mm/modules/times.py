"""How far in the process of adding noise an image is, as a vector."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["TimeEmbedding"]


class TimeEmbedding(nn.Module):
    """Sines and cosines of a time in [0, 1], and two layers over them.

    Args:
        width: Of the vectors.
        frequencies: Sines and cosines, together; even.

    Example:
        >>> TimeEmbedding(16)(torch.tensor([0.0, 0.5])).shape
        torch.Size([2, 16])
    """

    def __init__(self, width: int, frequencies: int = 256) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.up = nn.Linear(frequencies, width)
        self.down = nn.Linear(width, width)

    def forward(self, time: Tensor) -> Tensor:
        """Return (B, D) for times (B,)."""
        half = self.frequencies // 2
        rates = torch.exp(-math.log(10_000.0) / half * torch.arange(half, device=time.device))
        angles = 1000 * time.float().unsqueeze(1) * rates
        waves = torch.cat((angles.cos(), angles.sin()), 1).to(self.up.weight.dtype)
        embedded: Tensor = self.down(nn.functional.silu(self.up(waves)))
        return embedded
