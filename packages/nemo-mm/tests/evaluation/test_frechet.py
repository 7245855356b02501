from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import DataError
from nemo_mm.evaluation import frechet_distance


def whitened(count: int, size: int, seed: int) -> torch.Tensor:
    """Features whose mean is exactly zero and whose covariance is exactly one."""
    drawn = torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    drawn = drawn - drawn.mean(0)
    return drawn @ torch.linalg.inv(torch.linalg.cholesky(drawn.T.cov())).T


@settings(deadline=None, max_examples=20)
@given(size=st.integers(1, 5), seed=st.integers(0, 99), shift=st.floats(-3, 3), scale=st.floats(0.1, 3))
def test_it_is_the_distance_of_normal_distributions(size, seed, shift, scale):
    first, second = whitened(50, size, seed), whitened(40, size, seed + 1)
    expected = size * shift**2 + size * (1 - scale) ** 2
    assert frechet_distance(first, shift + scale * second) == pytest.approx(expected, rel=1e-4, abs=1e-6)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 99), size=st.integers(1, 6))
def test_it_is_symmetric_and_zero_for_the_same(seed, size):
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, 30, size, generator=generator)
    second = second @ torch.randn(size, size, generator=generator)
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first), rel=1e-4, abs=1e-4)
    assert frechet_distance(second, second) == pytest.approx(0, abs=1e-3)


def test_fewer_images_than_features_are_enough():
    assert frechet_distance(torch.randn(5, 20), torch.randn(8, 20)) > 0


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (torch.zeros(1, 3), torch.zeros(5, 3), r"\(1, 3\)"),
        (torch.zeros(5, 3), torch.zeros(5), r"\(5\,\)"),
        (torch.zeros(5, 3), torch.zeros(5, 4), "of 3 and of 4"),
        (torch.full((5, 3), torch.nan), torch.zeros(5, 3), "not finite"),
    ],
)
def test_what_has_no_distance_is_refused(first, second, said):
    with pytest.raises(DataError, match=said):
        frechet_distance(first, second)
