"""Blends: proportions hold at every moment, every item comes once per repetition, and all is a pure function."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError, DataError
from nemo_llm.data import blend as blend_module
from nemo_llm.data.blend import Blend, Permutation, Schedule

weights = st.lists(st.one_of(st.integers(1, 60), st.sampled_from([0.1, 0.25, 0.3, 1.5, 0.05])), min_size=1, max_size=7)


@settings(deadline=None)
@given(st.integers(1, 300), st.lists(st.integers(0, 2**40), max_size=3))
def test_permutations_hold_every_number_once(size, key):
    order = Permutation(size, key)
    assert sorted(map(order, range(size))) == list(range(size))
    with pytest.raises(IndexError):
        order(size)


def test_permutations_depend_on_their_key_and_look_random():
    size = 2000
    orders = np.array([[Permutation(size, (7, key))(place) for place in range(size)] for key in range(20)])
    assert len({tuple(order) for order in orders}) == 20
    correlations = np.corrcoef(np.vstack([np.arange(size), orders]))[np.triu_indices(21, 1)]
    assert abs(correlations).max() < 5 / size**0.5  # five standard deviations
    steps = np.abs(np.diff(orders, axis=1))
    assert abs(steps.mean() - size / 3) < size / 30  # of neighbours in a random order


@given(weights)
@settings(max_examples=80, deadline=None)
def test_every_share_is_less_than_one_item_off_at_every_moment(given_weights):
    schedule = Schedule(given_weights)
    exact = [Fraction(str(weight)) for weight in given_weights]
    total, counts = sum(exact), [0] * len(exact)
    for position in range(600):
        source, turn = schedule(position)
        assert turn == counts[source]
        counts[source] += 1
        for count, weight in zip(counts, exact, strict=True):
            assert abs(count - weight / total * (position + 1)) < 1


def test_weights_without_a_short_period_are_rounded(monkeypatch):
    monkeypatch.setattr(blend_module, "_LONGEST", 1000)
    schedule = Schedule([0.123456789, 1e-9, 0.876543210])
    counts = Counter(schedule(position)[0] for position in range(10_000))
    assert counts == {0: 1230, 1: 10, 2: 8760}  # the second at least once in a period


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 30), st.integers(0, 3))
@settings(deadline=None)
def test_every_item_comes_once_per_repetition(sizes, epoch_size, seed):
    datasets = [[(number, item) for item in range(size)] for number, size in enumerate(sizes)]
    blend = Blend(datasets, size=epoch_size, seed=seed)
    epochs = range(1 + 3 * sum(sizes) // epoch_size)
    drawn = [blend.in_epoch(epoch, index) for epoch in epochs for index in range(epoch_size)]
    for number, size in enumerate(sizes):
        items = [item for each, item in drawn if each == number]
        for repetition in _batched(items, size):
            assert len(set(repetition)) == len(repetition)
    # Without weights, a pass over all is a repetition of each.
    assert sorted(drawn[: sum(sizes)]) == [one for dataset in datasets for one in dataset]


def _batched(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]


def test_order_is_a_pure_function_of_seed_epoch_and_index():
    def draw(seed, where):
        blend = Blend([range(50), range(100, 130)], weights=[3, 1], seed=seed)
        return [blend.in_epoch(epoch, index) for epoch, index in where]

    where = [(epoch, index) for epoch in range(3) for index in range(80)]
    backwards = where[::-1]
    assert draw(1, where) == draw(1, backwards)[::-1]
    assert draw(1, where) != draw(2, where)
    assert draw(1, where[:80]) != draw(1, where[80:160])


def test_data_sets_are_asked_as_a_loader_asks_them():
    class InEpoch(list):
        def in_epoch(self, epoch, index):
            return "in_epoch", epoch, index

    class Sample(list):
        def sample(self, index, rng):
            return "sample", index, rng.random()

    blend = Blend([InEpoch([0, 0]), Sample([0, 0])], size=4, shuffle=False)
    assert blend[0] == ("in_epoch", 0, 0)
    assert blend.in_epoch(1, 0) == ("in_epoch", 1, 0)
    name, index, drawn = blend[1]
    assert (name, index) == ("sample", 0)
    assert drawn == blend[1][2] != blend.in_epoch(1, 1)[2]
    with pytest.raises(IndexError):
        blend[4]


@pytest.mark.parametrize("wrong", [[1, 0], [1, -2], [1, float("nan")], [1, float("inf")], [1, "2"], [1], []])
def test_weights_that_make_no_sense(wrong):
    with pytest.raises(ConfigError, match="weight"):
        Blend([[1], [2]], weights=wrong)


def test_sets_without_items():
    with pytest.raises(DataError, match="data set 1"):
        Blend([[1], []])
    with pytest.raises(ConfigError, match="no data sets"):
        Blend([])
