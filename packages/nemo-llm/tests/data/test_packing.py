"""Packing: the rows are those of first-fit decreasing, hold every item once, and keep sequences apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError, DataError
from nemo_llm.data import packing
from nemo_llm.data.packing import pack, packed_row

lengths_and_capacity = st.integers(1, 40).flatmap(
    lambda capacity: st.tuples(st.lists(st.integers(1, capacity), max_size=80), st.just(capacity))
)


def first_fit_decreasing(lengths, capacity):
    """The algorithm as it is told."""
    rows, room = [], []
    for item in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        row = next((row for row in range(len(rows)) if room[row] >= lengths[item]), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(capacity)
        rows[row].append(item)
        room[row] -= lengths[item]
    return rows


@settings(deadline=None)
@given(lengths_and_capacity, st.sampled_from([1, 2, 7, 1024]))
def test_rows_are_those_of_first_fit_decreasing(given_, block):
    lengths, capacity = given_
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_BLOCK", block)  # so that small cases cross blocks
        rows = pack(lengths, capacity)
    assert [row.tolist() for row in rows] == first_fit_decreasing(lengths, capacity)
    assert [rows[row].tolist() for row in range(len(rows))] == [row.tolist() for row in rows]


def test_many_items_are_each_in_one_row_that_does_not_overflow():
    lengths = np.random.default_rng(0).integers(1, 513, 100_000)
    rows = pack(lengths, 512)
    assert (np.sort(rows.items) == np.arange(len(lengths))).all()
    filled = np.add.reduceat(lengths[rows.items], rows.starts[:-1])
    assert filled.max() <= 512
    assert filled.mean() > 0.99 * 512


@pytest.mark.parametrize(("lengths", "wrong"), [([3, 9], "item 1 has 9"), ([0], "item 0 has 0"), ([2, -1], "item 1")])
def test_what_fits_no_row_is_refused(lengths, wrong):
    with pytest.raises(DataError, match=wrong):
        pack(lengths, 8)
    with pytest.raises(ConfigError, match="sequence_length"):
        pack([1], 0)


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(1, 99), st.booleans()), min_size=2, max_size=6), max_size=5))
def test_labels_follow_their_tokens_and_never_cross_segments(drawn):
    sequences = [np.array([token for token, _ in one]) for one in drawn]
    masks = [np.array([learn for _, learn in one]) for one in drawn]
    row = packed_row(sequences, 25, loss_masks=masks, pad_id=7)
    assert all(len(value) == 25 for value in row.values())
    assert row["segment_ids"].max(initial=0) == len(sequences)
    for segment, (sequence, mask) in enumerate(zip(sequences, masks, strict=True), 1):
        (places,) = np.nonzero(row["segment_ids"] == segment)
        assert places.tolist() == list(range(places[0], places[0] + len(sequence) - 1))
        assert (row["tokens"][places] == sequence[:-1]).all()
        assert (row["labels"][places] == sequence[1:]).all()
        assert (row["loss_mask"][places] == mask[1:]).all()
        assert (row["position_ids"][places] == np.arange(len(places))).all()
    padding = row["segment_ids"] == 0
    assert (row["tokens"][padding] == 7).all()
    assert not row["loss_mask"][padding].any()


def test_rows_that_cannot_be_made_are_refused():
    with pytest.raises(DataError, match="do not fit"):
        packed_row([[1, 2, 3]], 1)
    with pytest.raises(DataError, match="nothing to predict"):
        packed_row([[1]], 4)
    with pytest.raises(DataError, match="loss mask of 1"):
        packed_row([[1, 2]], 4, loss_masks=[[1]])
    with pytest.raises(DataError, match="2 sequences have 1"):
        packed_row([[1, 2], [1, 2]], 4, loss_masks=[[1, 1]])
