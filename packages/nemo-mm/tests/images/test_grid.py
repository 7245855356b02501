from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from nemo_core.errors import DataError
from nemo_mm.images.grid import picture_grid, save_picture


def test_pictures_stand_in_rows_and_are_made_larger():
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1) * np.ones((5, 1, 3, 2), np.uint8)
    grid = picture_grid(images, columns=3, zoom=2, gap=1)
    assert grid.shape == (2 * 6 + 1, 3 * 4 + 2, 1)
    for number in range(5):
        top, left = number // 3 * 7, number % 3 * 5
        assert (grid[top : top + 6, left : left + 4] == number).all()
    assert (grid[7:, 10:] == 255).all()
    assert picture_grid(np.zeros((4, 3, 200, 100), np.uint8)).shape == (402, 202, 3)


@pytest.mark.parametrize("shape", [(0, 1, 2, 2), (1, 2, 2, 2), (1, 2, 2)])
def test_what_is_no_grid_is_refused(shape):
    with pytest.raises(DataError, match="no grid"):
        picture_grid(np.zeros(shape, np.uint8))


def test_pictures_are_written(tmp_path):
    pixels = np.full((2, 3, 1), 7, np.uint8)
    path = save_picture(pixels, tmp_path / "new" / "a.png")
    assert (np.asarray(Image.open(path)) == 7).all()
    with pytest.raises(DataError, match="cannot be written"):
        save_picture(pixels, tmp_path / "a.docx")
