"""Where a patch is in an image, as a vector that is not learned."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sincos_2d"]


def sincos_2d(rows: int, columns: int, width: int, base: float = 10_000.0) -> Tensor:
    """Return a vector for each place of a grid (rows * columns, width): sines and cosines of row and column.

    Half of the vector tells the row and half the column, each at ``width / 4`` wave lengths from 2 pi to ``base`` times
    that (Vaswani et al., 2017, in two dimensions).

    Args:
        rows: Places down.
        columns: Places across; they come one after the other, row by row.
        width: Divisible by 4.
        base: Where it is far above the sides of the grid, most of the vector is the same everywhere.

    Example:
        >>> sincos_2d(2, 3, 8).shape
        torch.Size([6, 8])
    """
    rates = base ** (-torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    down, across = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64), torch.arange(columns, dtype=torch.float64), indexing="ij"
    )
    angles = [place.reshape(-1, 1) * rates for place in (down, across)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], 1).float()
