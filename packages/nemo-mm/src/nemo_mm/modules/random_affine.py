"""Images slightly turned, moved, scaled and sheared, a whole batch at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule

__all__ = ["RandomAffine"]


class RandomAffine(NeuralModule):
    """A random affine map for each image, while training; what comes into view from beyond is the border's colour.

    Args:
        rotation: Most degrees, either way.
        scale: Most that sizes change by, as a part of them.
        shift: Most that images move, as a part of their side.
        shear: Most slant, as the tangent.

    Raises:
        ConfigError: A number is negative, or ``scale`` is 1 or more.

    Example:
        >>> RandomAffine().eval()(pixels=torch.ones(1, 1, 3, 3)).mean()
        tensor(1.)
    """

    input_types: Mapping[str, nt.NeuralType] = {"pixels": nt.NeuralType(("B", "D", "H", "W"), nt.ImageFeatureValue())}
    output_types: Mapping[str, nt.NeuralType] = {"moved": nt.NeuralType(("B", "D", "H", "W"), nt.ImageFeatureValue())}

    def __init__(self, rotation: float = 15.0, scale: float = 0.15, shift: float = 0.08, shear: float = 0.2) -> None:
        super().__init__()
        if min(rotation, scale, shift, shear) < 0 or scale >= 1:
            raise ConfigError("RandomAffine: numbers are positive, and scale below 1")
        self.rotation, self.scale, self.shift, self.shear = rotation, scale, shift, shear

    @nt.typed
    def forward(self, pixels: Tensor) -> Tensor:
        """Return images (B, C, H, W), each moved in its own way; in evaluation mode, as they are."""
        if not self.training:
            return pixels
        count = len(pixels)
        drawn = 2 * torch.rand(5, count, device=pixels.device) - 1
        angle = drawn[0] * math.radians(self.rotation)
        size = 1 + drawn[1] * self.scale
        maps = torch.zeros(count, 2, 3, device=pixels.device)
        maps[:, 0, 0] = maps[:, 1, 1] = size * angle.cos()
        maps[:, 1, 0] = size * angle.sin()
        maps[:, 0, 1] = drawn[2] * self.shear - size * angle.sin()
        maps[:, :, 2] = 2 * self.shift * drawn[3:].T
        grid = F.affine_grid(maps, list(pixels.shape), align_corners=False)
        return F.grid_sample(pixels, grid.to(pixels.dtype), padding_mode="border", align_corners=False)
