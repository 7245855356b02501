"""The dropout of nemo-asr."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nemo_core.modules.dropout import Dropout, dropout


@given(st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_the_share_that_is_dropped_and_the_mean(probability: float, seed: int) -> None:
    torch.manual_seed(seed)
    count = 40_000
    dropped = dropout(torch.ones(100, count // 100), probability)
    share = (dropped == 0).double().mean().item()
    assert abs(share - probability) < 6 * (probability * (1 - probability) / count) ** 0.5 + 1e-4
    kept = dropped[dropped != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - probability)), rtol=2e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (2, 3, 7)])
def test_the_gradient_goes_where_the_value_went(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.ones(shape, dtype=dtype, requires_grad=True)
    y = dropout(x, 0.5)
    assert y.dtype == dtype
    y.backward(torch.ones_like(y))
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_not_contiguous() -> None:
    x = torch.randn(8, 6).t()
    y = dropout(x, 0.25)
    kept = y != 0
    torch.testing.assert_close(y[kept], x[kept] / 0.75, rtol=1e-4, atol=0)


def test_elements_are_dropped_one_by_one() -> None:
    torch.manual_seed(0)
    first, second = (dropout(torch.ones(4096), 0.5) == 0 for _ in range(2))
    assert not torch.equal(first, second)
    for lag in range(1, 9):  # four elements share a random number: they must not share a fate
        agree = (first[lag:] == first[:-lag]).float().mean().item()
        assert 0.45 < agree < 0.55


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_nothing_and_all(probability: float) -> None:
    assert torch.equal(dropout(torch.ones(9), probability), torch.full((9,), 1 - probability))


def test_the_seed_decides_and_evaluation_drops_nothing() -> None:
    layer, x = Dropout(0.3), torch.randn(50)
    torch.manual_seed(7)
    first = layer(x)
    torch.manual_seed(7)
    assert torch.equal(layer(x), first)
    assert torch.equal(layer.eval()(x), x)
