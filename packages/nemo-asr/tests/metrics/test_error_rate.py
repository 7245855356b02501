from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nemo_asr.metrics import CharErrorRate, WordErrorRate
from nemo_core.errors import DataError

words = st.lists(st.sampled_from(["one", "two", "three"]), max_size=5).map(" ".join)


def distance(a, b):
    """Edit distance by its recursion."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


@given(pairs=st.lists(st.tuples(words, words), min_size=1, max_size=5))
def test_rates_are_edits_over_units_of_the_whole(pairs):
    for metric, split in ((WordErrorRate(), str.split), (CharErrorRate(), list)):
        for said, heard in pairs:
            metric.update([said], [heard])
        edits = sum(distance(split(said), split(heard)) for said, heard in pairs)
        units = sum(len(split(said)) for said, _ in pairs)
        rate = float(metric.compute())
        if units:
            assert rate == pytest.approx(edits / units)
        else:
            assert math.isnan(rate) or math.isinf(rate)


def test_counts_by_kind():
    wer = WordErrorRate()
    wer.update(["a b c d"], ["a x c d e f"])
    wer.update(["a b"], ["b"])
    assert (int(wer.substitutions), int(wer.insertions), int(wer.deletions), int(wer.units)) == (1, 2, 1, 6)


def test_states_add_up_over_processes():
    whole, first, second = WordErrorRate(), WordErrorRate(), WordErrorRate()
    for metric in (whole, first):
        metric.update(["a b c", "d"], ["a b", "e"])
    for metric in (whole, second):
        metric.update(["f g"], ["f g"])
    first.merge_state(second)
    gathered = torch.tensor([3, 4])
    assert all(reduce(gathered) == 7 for reduce in first._reductions.values())  # and over processes they are summed
    assert float(first.compute()) == float(whole.compute()) == pytest.approx(2 / 6)


def test_reset():
    wer = WordErrorRate()
    wer.update(["a"], ["b"])
    wer.reset()
    wer.update(["a"], ["a"])
    assert float(wer.compute()) == 0


def test_spaces_at_the_ends_are_no_errors():
    cer = CharErrorRate()
    cer.update(["one two"], [" one  two "])
    assert float(cer.compute()) == 0


def test_references_without_hypotheses_are_refused():
    with pytest.raises(DataError, match="2 references, but 1"):
        WordErrorRate().update(["a", "b"], ["a"])
