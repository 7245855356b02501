"""Noise that belongs to an image and not to the batch it is made in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["SeededNoise", "seeds_of"]


class SeededNoise:
    """Normal noise for several images, drawn for each from a generator of its own.

    What an image gets depends on its seed and on how often was asked before; not on the other images, on the device, or
    on how many images are made at once.

    Args:
        seeds: One for each image.
        shape: Of an image.
        device: Where the noise is needed; it is drawn on the CPU.

    Example:
        >>> one, two = SeededNoise([7], (2,)), SeededNoise([5, 7], (2,))
        >>> bool((one()[0] == two()[1]).all()), bool((one()[0] == one()[0]).all())
        (True, False)
    """

    def __init__(self, seeds: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        self._shape, self._device = tuple(shape), device

    def __call__(self) -> Tensor:
        """Return fresh noise (B, ...)."""
        drawn = [torch.randn(self._shape, generator=generator) for generator in self._generators]
        return torch.stack(drawn).to(self._device)


def seeds_of(seed: int, count: int, first: int = 0) -> list[int]:
    """Return the seeds of ``count`` images that belong to one seed, from number ``first`` on.

    >>> seeds_of(0, 3)[1:] == seeds_of(0, 2, first=1)
    True
    """
    numbers = range(first, first + count)
    return [int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0] >> 1) for number in numbers]
