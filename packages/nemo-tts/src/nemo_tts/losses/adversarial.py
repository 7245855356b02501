"""What generators and discriminators of audio learn from."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.modules import Loss

__all__ = ["DiscriminatorLoss", "FeatureMatchingLoss", "GeneratorLoss"]

_SCORES = nt.NeuralType(("[B]", "B", "T"), nt.RegressionValues())
_FEATURES = nt.NeuralType(("[B]", "B", "D", "ANY", "ANY"), nt.AcousticEncoded())


class DiscriminatorLoss(Loss):
    """Least squares: real audio should get ones and generated audio zeros (Mao et al., ICCV 2017).

    Example:
        >>> DiscriminatorLoss()([torch.ones(1, 4)], [torch.ones(1, 4)])
        tensor(1.)
    """

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``real`` and ``generated``: a list of scores (B, T), one for each discriminator."""
        return {"real": _SCORES, "generated": _SCORES}

    @nt.typed
    def forward(self, real: list[Tensor], generated: list[Tensor]) -> Tensor:
        """Return the sum over discriminators."""
        losses = [
            (1 - a.float()).square().mean() + b.float().square().mean() for a, b in zip(real, generated, strict=True)
        ]
        return torch.stack(losses).sum()


class GeneratorLoss(Loss):
    """Least squares: generated audio should get ones.

    Example:
        >>> GeneratorLoss()([torch.zeros(1, 4), torch.ones(1, 2)])
        tensor(1.)
    """

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``generated``: a list of scores (B, T), one for each discriminator."""
        return {"generated": _SCORES}

    @nt.typed
    def forward(self, generated: list[Tensor]) -> Tensor:
        """Return the sum over discriminators."""
        return torch.stack([(1 - each.float()).square().mean() for each in generated]).sum()


class FeatureMatchingLoss(Loss):
    """Distance of what discriminators see in real and in generated audio (Larsen et al., ICML 2016).

    Args:
        scale: What it is multiplied with.

    Example:
        >>> FeatureMatchingLoss()([torch.zeros(1, 2, 1, 3)], [torch.ones(1, 2, 1, 3)])
        tensor(2.)
    """

    def __init__(self, scale: float = 2.0) -> None:
        super().__init__()
        self.scale = scale

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``real`` and ``generated``: lists of maps (B, D, H, W)."""
        return {"real": _FEATURES, "generated": _FEATURES}

    @nt.typed
    def forward(self, real: list[Tensor], generated: list[Tensor]) -> Tensor:
        """Return the sum over maps."""
        pairs = zip(real, generated, strict=True)
        return self.scale * torch.stack([F.l1_loss(b.float(), a.detach().float()) for a, b in pairs]).sum()
