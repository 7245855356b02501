"""The order of batches: complete, fair to all ranks, and a function of its arguments alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_core.data import BatchOrder, item_rng
from nemo_core.errors import ConfigError, DataError


@st.composite
def orders(draw, drop_last=None):
    """Arguments of an order: without lengths, with buckets, or by total length."""
    size = draw(st.integers(1, 60))
    arguments = {
        "size": size,
        "shuffle": draw(st.booleans()),
        "drop_last": draw(st.booleans()) if drop_last is None else drop_last,
        "seed": draw(st.integers(0, 5)),
        "world_size": draw(st.integers(1, 4)),
        "batch_size": draw(st.integers(1, 9)),
    }
    if draw(st.booleans()):
        arguments["lengths"] = draw(st.lists(st.floats(0.1, 30), min_size=size, max_size=size))
        arguments["buckets"] = draw(st.integers(1, 5))
        arguments["batch_length"] = draw(st.none() | st.floats(1, 100))
        if arguments["batch_length"] is not None and draw(st.booleans()):
            arguments["batch_size"] = None
    return arguments


def all_ranks(arguments: dict, epoch: int) -> list[list[list[int]]]:
    return [
        [batch.tolist() for batch in BatchOrder(rank=rank, **arguments).batches(epoch)]
        for rank in range(arguments["world_size"])
    ]


@given(orders(drop_last=False), st.integers(0, 3))
def test_each_item_once_but_for_the_padding_of_ranks(arguments, epoch):
    seen = Counter(item for rank in all_ranks(arguments, epoch) for batch in rank for item in batch)
    assert set(seen) == set(range(arguments["size"]))
    repeated = sum(seen.values()) - arguments["size"]
    assert repeated <= (arguments["world_size"] - 1) * arguments.get("buckets", 1)
    if arguments["world_size"] == 1:
        assert repeated == 0


@given(orders(drop_last=True), st.integers(0, 3))
def test_drop_last_repeats_nothing_and_makes_no_small_batch(arguments, epoch):
    ranks = all_ranks(arguments, epoch)
    seen = Counter(item for rank in ranks for batch in rank for item in batch)
    assert all(count == 1 for count in seen.values())
    if arguments.get("buckets", 1) == 1 and arguments["batch_size"] and not arguments.get("batch_length"):
        assert all(len(batch) == arguments["batch_size"] for rank in ranks for batch in rank)


@given(orders(), st.integers(0, 3))
def test_every_rank_has_as_many_batches_as_it_says_and_of_the_same_size(arguments, epoch):
    ranks = all_ranks(arguments, epoch)
    assert {len(rank) for rank in ranks} == {len(BatchOrder(**arguments))}
    for step in zip(*ranks, strict=True):
        assert len({len(batch) for batch in step}) == 1


@given(orders(), st.integers(0, 3))
def test_no_batch_is_larger_than_it_may_be(arguments, epoch):
    for rank in all_ranks(arguments, epoch):
        for batch in rank:
            assert 0 < len(batch) <= (arguments["batch_size"] or 60)
            if arguments.get("batch_length") and len(batch) > 1:
                longest = max(arguments["lengths"][item] for item in batch)
                assert len(batch) * longest <= arguments["batch_length"] * (1 + 1e-9)


@given(orders(), st.integers(0, 3))
def test_it_depends_on_nothing_else(arguments, epoch):
    np.random.seed(epoch)  # the global generator is neither read nor written
    before = np.random.get_state()[1].tolist()
    assert all_ranks(arguments, epoch) == all_ranks(arguments, epoch)
    assert np.random.get_state()[1].tolist() == before


def test_epochs_seeds_and_shuffling_differ():
    def flat(**changes):
        arguments = {"size": 50, "batch_size": 5, "seed": 0} | changes
        epoch = arguments.pop("epoch", 0)
        return np.concatenate(BatchOrder(**arguments).batches(epoch)).tolist()

    assert flat(shuffle=False) == list(range(50)) == flat(shuffle=False, epoch=3)
    assert len({tuple(flat()), tuple(flat(epoch=1)), tuple(flat(seed=1)), tuple(range(50))}) == 4


def test_buckets_keep_like_lengths_together():
    lengths = np.linspace(1, 100, 400)

    def padding(buckets: int) -> float:
        batches = BatchOrder(400, batch_size=8, lengths=lengths, buckets=buckets).batches(0)
        return sum(lengths[batch].max() * len(batch) - lengths[batch].sum() for batch in batches)

    assert padding(10) < padding(1) / 5


@given(st.lists(st.integers(1, 6), min_size=1, max_size=9), st.integers(1, 4), st.integers(1, 5), st.integers(0, 3))
def test_groups_are_read_together(groups, window, batch, epoch):
    """Never are more groups begun and not yet done than `window`."""
    order = BatchOrder(sum(groups), batch_size=batch, groups=groups, window=window)
    read = np.concatenate(order.batches(epoch)).tolist()
    assert sorted(read) == list(range(sum(groups)))
    group_of = np.repeat(np.arange(len(groups)), groups)
    left = dict(enumerate(groups))
    begun: set[int] = set()
    for item in read:
        begun.add(group_of[item])
        left[group_of[item]] -= 1
        assert sum(left[group] > 0 for group in begun) <= window


def test_groups_that_are_not_all_items():
    with pytest.raises(ConfigError, match="groups"):
        BatchOrder(4, batch_size=2, groups=[1, 2])


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({}, ConfigError, "neither batch_size nor batch_length"),
        ({"batch_size": 0}, ConfigError, "batch_size is 0"),
        ({"batch_size": 2, "buckets": 3}, ConfigError, "length of each item"),
        ({"batch_size": 2, "buckets": 0}, ConfigError, "buckets is 0"),
        ({"batch_length": -1.0, "lengths": [1, 1, 1]}, ConfigError, "batch_length is -1"),
        ({"batch_size": 2, "seed": -1}, ConfigError, "seed is -1"),
        ({"batch_size": 2, "rank": 2, "world_size": 2}, ConfigError, "rank 2"),
        ({"batch_size": 2, "lengths": [1.0, 2.0]}, DataError, "3 items"),
        ({"batch_size": 2, "lengths": [1.0, float("nan"), 2.0]}, DataError, "item 1"),
        ({"batch_size": 2, "lengths": [1.0, 2.0, 0.0]}, DataError, "item 2"),
    ],
)
def test_bad_arguments(arguments, error, says):
    with pytest.raises(error, match=says):
        BatchOrder(3, **arguments)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 99))
def test_item_rng_is_a_function_of_its_arguments(seed, epoch, index):
    draw = item_rng(seed, epoch, index).random(4).tolist()
    assert draw == item_rng(seed, epoch, index).random(4).tolist()
    assert draw != item_rng(seed, epoch, index + 1).random(4).tolist()
    assert draw != item_rng(seed, epoch + 1, index).random(4).tolist()
