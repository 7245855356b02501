"""Classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nemo_mm.diffusion.process import Predict

__all__ = ["guided"]


def guided(both: Callable[[Tensor, Tensor], Tensor], scale: float) -> Predict:
    """Return a prediction that goes further away from that without a condition (Ho and Salimans, 2022).

    ``without + scale * (with - without)``: 0 ignores the condition, 1 is the plain prediction, more are images that
    are more typical of it and more alike.

    Args:
        both: Predicts for twice as many images (2B, ...): the first half under the condition, the second without.
        scale: Of guidance.

    Example:
        >>> predict = guided(lambda x, t: torch.cat((x[:1] + 1, x[1:])), scale=3)
        >>> predict(torch.zeros(1, 2), torch.zeros(1))
        tensor([[3., 3.]])
    """

    def predict(x: Tensor, time: Tensor) -> Tensor:
        told, untold = both(torch.cat((x, x)), torch.cat((time, time))).chunk(2)
        return torch.lerp(untold, told, scale)

    return predict
