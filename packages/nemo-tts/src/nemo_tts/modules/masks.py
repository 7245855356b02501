"""Which steps of a padded batch count."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["length_mask"]


def length_mask(length: Tensor, steps: int) -> Tensor:
    """Return (B, T), true for the first ``length`` (B,) of ``steps`` steps.

    Example:
        >>> length_mask(torch.tensor([1, 3]), 3)
        tensor([[ True, False, False],
                [ True,  True,  True]])
    """
    return torch.arange(steps, device=length.device) < length.unsqueeze(1)
