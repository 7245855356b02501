"""Several pictures as one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from nemo_core.errors import DataError

__all__ = ["picture_grid", "save_picture"]


def picture_grid(
    images: np.ndarray, columns: int | None = None, *, zoom: int | None = None, gap: int = 2
) -> np.ndarray:
    """Return pictures (N, C, H, W), uint8, side by side in rows, as one (H, W, C).

    Args:
        images: With 1 or 3 channels.
        columns: Pictures in a row; about as many as rows if not given.
        zoom: Side of the square that a pixel becomes; small pictures are made larger if not given.
        gap: Pixels between pictures, white.

    Raises:
        DataError: There are no pictures, or of other channels.

    Example:
        >>> picture_grid(np.zeros((3, 1, 4, 4), np.uint8), columns=2, zoom=1, gap=1).shape
        (9, 9, 1)
    """
    if images.ndim != 4 or not len(images) or images.shape[1] not in (1, 3):
        raise DataError(f"no grid can be made of pictures {images.shape}", hint="give (N, 1 or 3, H, W)")
    zoom = zoom or max(1, 56 // max(images.shape[2:]))
    large = images.transpose(0, 2, 3, 1).repeat(zoom, 1).repeat(zoom, 2)
    count, height, width, channels = large.shape
    across = min(count, columns or math.ceil(math.sqrt(count)))
    down = math.ceil(count / across)
    grid = np.full((down * (height + gap) - gap, across * (width + gap) - gap, channels), 255, np.uint8)
    for number, picture in enumerate(large):
        top, left = number // across * (height + gap), number % across * (width + gap)
        grid[top : top + height, left : left + width] = picture
    return grid


def save_picture(pixels: np.ndarray, path: str | Path) -> Path:
    """Write a picture (H, W, 1 or 3), uint8; the ending of the path says in what format.

    Raises:
        DataError: It cannot be written there, or in no such format.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(target)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{target} cannot be written: {error}", hint="give a file that ends with .png") from error
    return target
