from __future__ import annotations

import pytest
import torch

from nemo_core.models.skip_init import SkipRandomInit


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.Linear(3, 4),
        lambda: torch.nn.Conv1d(3, 4, 2),
        lambda: torch.nn.LSTM(3, 4, bidirectional=True),
        lambda: torch.nn.Embedding(5, 3),
        lambda: torch.nn.TransformerEncoderLayer(8, 2, 16),
        lambda: torch.nn.Bilinear(2, 3, 4),
    ],
)
def test_layers_draw_nothing(make):
    before = torch.get_rng_state()
    with SkipRandomInit():
        layer = make()
    assert torch.equal(torch.get_rng_state(), before)
    drawn = {name for name, value in make().named_parameters() if value.unique().numel() > 1}
    assert drawn
    for name, value in layer.named_parameters():
        assert name not in drawn or not value.any()


def test_constants_and_buffers_are_as_always():
    with SkipRandomInit():
        norm = torch.nn.BatchNorm1d(3)
        drawn = torch.empty(100).uniform_()
        normal = torch.nn.init.normal_(torch.empty(100))
    assert norm.weight.tolist() == norm.running_var.tolist() == [1, 1, 1]
    assert drawn.any()
    assert normal.any()


def test_ends_with_the_block_even_in_an_error():
    with pytest.raises(ZeroDivisionError), SkipRandomInit():
        1 / 0
    assert torch.nn.Linear(2, 2).weight.any()
