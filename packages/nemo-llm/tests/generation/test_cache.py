"""What a layer keeps, and who sees what."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_llm.generation.cache import LayerCache, attention_mask

CPU = torch.device("cpu")


def columns(first: int, count: int, rows: int = 2) -> torch.Tensor:
    """Keys that say which row and column they are, (rows, 1, count, 2)."""
    numbers = torch.arange(first, first + count).expand(rows, count)
    return torch.stack((torch.arange(rows)[:, None].expand(rows, count), numbers), -1)[:, None].float()


@given(window=st.none() | st.integers(1, 9), steps=st.lists(st.integers(1, 150), min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_every_token_finds_all_that_it_may_see(window: int | None, steps: list[int]) -> None:
    cache, done = LayerCache(window), 0
    for count in steps:
        keys, values = cache.append(columns(done, count), -columns(done, count))
        done += count
        first = 0 if window is None else max(0, done - count - window + 1)
        assert cache.first == first
        assert torch.equal(keys, columns(first, done - first))
        assert torch.equal(values, -keys)


def test_a_window_bounds_what_is_kept() -> None:
    cache = LayerCache(window=8)
    for token in range(3000):
        cache.append(columns(token, 1), columns(token, 1))
    assert cache._buffers is not None
    assert cache._buffers[0].shape[2] < 300


def test_rows_and_padding_are_let_go() -> None:
    cache = LayerCache()
    cache.append(columns(0, 10, rows=3), columns(0, 10, rows=3))
    cache.select(torch.tensor([2, 1]), first=4)
    keys, _ = cache.append(columns(10, 1)[:, :, :, :], columns(10, 1))
    assert cache.first == 4
    assert keys[:, 0, :-1, 0].tolist() == [[2.0] * 6, [1.0] * 6]
    assert keys[0, 0, :, 1].tolist() == list(range(4, 11))


def test_values_may_be_narrower_than_keys() -> None:
    keys, values = LayerCache().append(torch.zeros(1, 1, 3, 4), torch.zeros(1, 1, 3, 0))
    assert (keys.shape, values.shape) == ((1, 1, 3, 4), (1, 1, 3, 0))


@given(
    start=st.integers(0, 9),
    count=st.integers(1, 5),
    window=st.none() | st.integers(1, 6),
    padding=st.none() | st.lists(st.integers(0, 9), min_size=2, max_size=2),
)
@settings(max_examples=200, deadline=None)
def test_masks_are_what_the_rules_say(start: int, count: int, window: int | None, padding: list[int] | None) -> None:
    first = 0 if window is None else max(0, start - window + 1)
    stop = start + count
    given_padding = None if padding is None else torch.tensor(padding)
    mask = attention_mask(range(start, stop), first, given_padding, window, CPU)
    for row, left in enumerate(padding or [0]):
        for query in range(start, stop):
            seen = [
                (key <= query and (window is None or key > query - window) and key >= left) or key == query
                for key in range(first, stop)
            ]
            alone = [key <= query for key in range(first, stop)]
            found = alone if mask is None else mask[row, 0, query - start].tolist()
            assert found == seen


@pytest.mark.parametrize("window", [None, 4])
def test_a_single_token_that_sees_all_needs_no_mask(window: int | None) -> None:
    assert attention_mask(range(6, 7), 6 - 3 if window else 0, None, window, CPU) is None
