"""Pictures varied for training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError
from nemo_mm.images.opening import open_image

__all__ = ["RandomCrop"]


class RandomCrop(Configured):
    """Takes a random part of a picture, as CLIP's training does, and may mirror it.

    Args:
        area: Smallest and largest part of the area.
        ratio: Narrowest and widest shape, width by height, relative to the picture's own.
        mirror: How probable it is that left and right change places.

    Example:
        >>> RandomCrop((0.5, 0.5), ratio=(1, 1))(np.zeros((20, 40, 3), np.uint8), np.random.default_rng(0)).shape
        (14, 28, 3)
    """

    def __init__(
        self, area: Sequence[float] = (0.9, 1.0), ratio: Sequence[float] = (0.9, 1.1), mirror: float = 0.0
    ) -> None:
        self.area, self.ratio, self.mirror = _range("area", area), _range("ratio", ratio), mirror
        if self.area[1] > 1:
            raise ConfigError(f"area: {self.area[1]} of a picture is more than all of it")

    def __call__(self, source: Any, rng: np.random.Generator) -> np.ndarray:
        """Return a part of the picture, a view of it."""
        pixels = source if isinstance(source, np.ndarray) and source.dtype == np.uint8 else open_image(source)
        height, width = pixels.shape[:2]
        part, ratio = math.sqrt(rng.uniform(*self.area)), math.sqrt(rng.uniform(*self.ratio))
        rows = min(height, max(1, round(height * part / ratio)))
        columns = min(width, max(1, round(width * part * ratio)))
        top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
        found = pixels[top : top + rows, left : left + columns]
        return found[:, ::-1] if rng.random() < self.mirror else found


def _range(name: str, given: Sequence[float]) -> tuple[float, float]:
    if len(given) != 2 or not 0 < given[0] <= given[1]:
        raise ConfigError(f"{name} {list(given)} is not a range", hint="give the smallest and the largest, above 0")
    return float(given[0]), float(given[1])
