"""Means over what is no padding."""

from __future__ import annotations

from torch import Tensor

from nemo_tts.modules.masks import length_mask

__all__ = ["masked_mean"]


def masked_mean(values: Tensor, length: Tensor) -> Tensor:
    """Return the mean of ``values`` (B, ..., T) over the first ``length`` (B,) steps of each.

    Example:
        >>> import torch
        >>> masked_mean(torch.tensor([[1.0, 9.0], [2.0, 3.0]]), torch.tensor([1, 2]))
        tensor(2.)
    """
    inside = length_mask(length, values.shape[-1])
    inside = inside.view(len(inside), *[1] * (values.ndim - 2), -1)
    count = length.sum() * (values[0].numel() // values.shape[-1])
    return values.masked_fill(~inside, 0.0).sum() / count.clamp(min=1)
