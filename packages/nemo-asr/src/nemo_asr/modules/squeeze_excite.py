"""Squeeze-and-excitation: channels weighted by what an utterance holds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["SqueezeExcite"]


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the mean of all channels over the utterance.

    Hu et al., 2018, arXiv:1709.01507; for speech in ContextNet (Han et al., 2020, arXiv:2005.03191) and Citrinet
    (Majumdar et al., 2021, arXiv:2104.01721). Frames beyond the end of an utterance are no part of the mean and become
    zero.

    Args:
        channels: Channels that come in and go out.
        reduction_ratio: How much narrower the hidden layer is.
        context_size: In training, the mean is over a random stretch of this many frames of each utterance; -1 for all
            of it. Evaluation always sees all of it.
        activation: Between the two layers.

    Example:
        >>> gate = SqueezeExcite(16, reduction_ratio=8)
        >>> gate(torch.randn(2, 16, 50), torch.tensor([50, 30])).shape
        torch.Size([2, 16, 50])
    """

    def __init__(
        self, channels: int, reduction_ratio: int = 8, context_size: int = -1, activation: nn.Module | None = None
    ) -> None:
        super().__init__()
        hidden = max(channels // reduction_ratio, 1)
        self.context_size = context_size
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), activation or nn.ReLU(), nn.Linear(hidden, channels, bias=False)
        )

    def forward(self, x: Tensor, length: Tensor) -> Tensor:
        """Return ``x`` (B, C, T) with its channels scaled, and zero beyond ``length`` (B,)."""
        position = torch.arange(x.shape[2], device=x.device)
        length = length.unsqueeze(1)
        inside = position < length
        x = x * inside.unsqueeze(1)
        seen = inside
        if self.training and self.context_size > 0:
            last = (length - self.context_size).clamp(min=0)
            start = (torch.rand(length.shape, device=x.device) * (last + 1)).long()
            seen = inside & (position >= start) & (position < start + self.context_size)
        mean = (x * seen.unsqueeze(1)).sum(dim=2, dtype=torch.float32) / seen.sum(dim=1, keepdim=True).clamp(min=1)
        gate = self.fc(mean.to(x.dtype)).sigmoid()
        return x * gate.unsqueeze(2)
