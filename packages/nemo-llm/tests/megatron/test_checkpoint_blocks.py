"""Stretches of flattened tensors as blocks."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from nemo_llm.megatron.checkpoint.blocks import blocks


@given(st.lists(st.integers(1, 5), max_size=4), st.data())
def test_blocks_are_the_stretch(shape: list[int], data: st.DataObject) -> None:
    size = math.prod(shape)
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    whole = torch.arange(size).view(shape)
    found = list(blocks(tuple(shape), start, stop))
    assert len(found) <= max(1, 2 * len(shape) - 1)
    expected = start
    for element, offsets, sizes in found:
        part = whole[tuple(slice(a, a + b) for a, b in zip(offsets, sizes, strict=True))]
        assert part.reshape(-1).tolist() == list(range(element, element + math.prod(sizes)))
        assert element == expected
        expected = element + math.prod(sizes)
    assert expected == stop or start == stop
