"""Large pictures as tiles of the size that an encoder takes, and their features as one picture's again.

This is the any-resolution scheme of LLaVA-NeXT (Liu et al., 2024): of several grids of tiles the one that fits a
picture best; the whole picture, small, before them; rows of features that are only padding left out, and a learned
embedding at the end of each row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["arrange", "best_grid", "count_arranged", "cut"]

Grid = tuple[int, int]


def best_grid(height: int, width: int, grids: Sequence[Grid], tile: tuple[int, int]) -> Grid:
    """Return the grid of tiles in which most of a picture's pixels are kept; of several, that with the least padding.

    Args:
        height: Of the picture, pixels.
        width: Likewise.
        grids: (rows, columns) to choose among.
        tile: Height and width of a tile.

    >>> best_grid(300, 1000, [(1, 1), (1, 3), (2, 2)], (336, 336))
    (1, 3)
    """

    def merit(grid: Grid) -> tuple[int, int]:
        tall, wide = grid[0] * tile[0], grid[1] * tile[1]
        scale = min(wide / width, tall / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        return kept, kept - tall * wide

    return max(grids, key=merit)


def cut(picture: np.ndarray, grid: Grid, tile: tuple[int, int], resample: str) -> list[np.ndarray]:
    """Return the tiles (h, w, 3) of a picture (H, W, 3), row by row; it is scaled to fit in, its ground is black."""
    tall, wide = grid[0] * tile[0], grid[1] * tile[1]
    height, width = picture.shape[:2]
    # As the published models were given theirs: the side that fits exactly decides, the other is rounded up.
    across, down = wide / width, tall / height
    if across < down:
        size = (wide, min(-int(-height * across // 1), tall))
    else:
        size = (min(-int(-width * down // 1), wide), tall)
    whole = Image.new("RGB", (wide, tall))
    scaled = Image.fromarray(picture).resize(size, Image.Resampling[resample.upper()])
    whole.paste(scaled, ((wide - size[0]) // 2, (tall - size[1]) // 2))
    pixels = np.asarray(whole)
    rows = [pixels[row * tile[0] : (row + 1) * tile[0]] for row in range(grid[0])]
    return [row[:, column * tile[1] : (column + 1) * tile[1]] for row in rows for column in range(grid[1])]


def count_arranged(height: int, width: int, grid: Grid, patches: tuple[int, int]) -> int:
    """Return how many embeddings :func:`arrange` makes of a picture.

    >>> count_arranged(100, 200, (1, 2), (4, 4))
    52
    """
    rows, columns = _kept(height, width, grid, patches)
    return patches[0] * patches[1] + len(rows) * (len(columns) + 1)


def arrange(features: Tensor, height: int, width: int, grid: Grid, patches: tuple[int, int], newline: Tensor) -> Tensor:
    """Return the embeddings (N, D) of a picture: those of the whole, then those of the tiles row by row.

    Args:
        features: (1 + rows * columns, P, D): of the whole picture, and of its tiles.
        height: Of the picture, pixels.
        width: Likewise.
        grid: Rows and columns of tiles.
        patches: Features of a tile, down and across.
        newline: (D,), at the end of each row of the tiles.

    >>> features = torch.arange(3.0).view(3, 1, 1).expand(3, 4, 1)
    >>> arrange(features, 10, 20, (1, 2), (2, 2), torch.tensor([9.0])).flatten().int().tolist()
    [0, 0, 0, 0, 1, 1, 2, 2, 9, 1, 1, 2, 2, 9]
    """
    tiles = features[1:].unflatten(0, grid).unflatten(2, patches)  # (rows, columns, h, w, D)
    whole = tiles.permute(0, 2, 1, 3, 4).flatten(0, 1).flatten(1, 2)
    rows, columns = _kept(height, width, grid, patches)
    whole = whole[rows.start : rows.stop, columns.start : columns.stop]
    ends = newline.to(whole.dtype).expand(len(rows), 1, -1)
    return torch.cat([features[0], torch.cat([whole, ends], 1).flatten(0, 1)])


def _kept(height: int, width: int, grid: Grid, patches: tuple[int, int]) -> tuple[range, range]:
    """Return which rows and columns of features are not padding only."""
    tall, wide = grid[0] * patches[0], grid[1] * patches[1]
    if width / height > wide / tall:
        padding = (tall - int(round(height * (wide / width), 7))) // 2
        return range(padding, tall - padding), range(wide)
    padding = (wide - int(round(width * (tall / height), 7))) // 2
    return range(tall), range(padding, wide - padding)
