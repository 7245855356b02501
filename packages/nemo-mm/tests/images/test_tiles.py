"""Large pictures as tiles: the grid that fits best, features that are only padding left out, as LLaVA-NeXT does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nemo_mm.images.tiles import arrange, best_grid, count_arranged, cut

GRIDS = [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]
sizes = st.integers(8, 900)


@given(sizes, sizes)
def test_as_many_embeddings_as_were_counted(height: int, width: int) -> None:
    grid = best_grid(height, width, GRIDS, (56, 56))
    features = torch.zeros(1 + grid[0] * grid[1], 16, 1)
    found = arrange(features, height, width, grid, (4, 4), torch.zeros(1))
    assert len(found) == count_arranged(height, width, grid, (4, 4))


@settings(deadline=None)
@given(sizes, sizes)
def test_grids_and_padding_are_those_of_transformers(height: int, width: int) -> None:
    llava = pytest.importorskip("transformers.models.llava_next.modeling_llava_next")
    resolutions = [[rows * 56, columns * 56] for rows, columns in GRIDS]
    grid = best_grid(height, width, GRIDS, (56, 56))
    assert llava.get_anyres_image_grid_shape((height, width), resolutions, 56) == grid
    places = torch.arange(grid[0] * grid[1] * 16.0).view(1, grid[0] * 4, grid[1] * 4)
    theirs = llava.unpad_image(places, (height, width))
    assume(theirs.numel() > 0)  # of a picture that is a line nothing may be left
    tiles = places[0].view(grid[0], 4, grid[1], 4).transpose(1, 2).reshape(-1, 16, 1)
    ours = arrange(torch.cat([torch.full((1, 16, 1), -1.0), tiles]), height, width, grid, (4, 4), torch.tensor([-2.0]))
    rows = ours[16:, 0].view(theirs.shape[1], -1)
    assert torch.equal(rows[:, :-1], theirs[0])
    assert (rows[:, -1] == -2).all()


@given(sizes, sizes)
def test_tiles_have_the_size_of_the_encoder(height: int, width: int) -> None:
    grid = best_grid(height, width, GRIDS, (28, 28))
    tiles = cut(np.zeros((height, width, 3), np.uint8), grid, (28, 28), "bicubic")
    assert [tile.shape for tile in tiles] == [(28, 28, 3)] * (grid[0] * grid[1])
