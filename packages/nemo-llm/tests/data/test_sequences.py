"""Sequences out of documents: every token is predicted once, and documents are kept apart where that is asked for."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import DataError
from nemo_llm.data.mock import MockDocuments
from nemo_llm.data.sequences import TokenSequences

lengths_of_documents = st.lists(st.integers(0, 12), min_size=1, max_size=12)


def numbered(lengths) -> MockDocuments:
    """Documents whose tokens are all different, 0, 1, 2, ..."""
    ends = np.cumsum([0, *lengths])
    return MockDocuments([range(start, end) for start, end in itertools.pairwise(ends)])


def predicted(items, epoch: int) -> list[int]:
    """The labels that count, in the order of the items."""
    return [
        int(label)
        for item in (items.in_epoch(epoch, index) for index in range(len(items)))
        for label in item["labels"][item["loss_mask"] > 0]
    ]


@settings(deadline=None)
@given(lengths_of_documents, st.integers(1, 9), st.booleans(), st.integers(0, 2))
def test_every_token_but_the_first_is_predicted_once_in_each_epoch(lengths, sequence_length, shuffle, epoch):
    items = TokenSequences(numbered(lengths), sequence_length, shuffle=shuffle, keep_tail=True, seed=3)
    found = predicted(items, epoch)
    total = sum(lengths)
    assert len(set(found)) == len(found) == max(0, total - 1)
    if not shuffle:
        assert found == list(range(1, total))
    whole = TokenSequences(numbered(lengths), sequence_length, shuffle=shuffle, seed=3)
    assert len(whole) == max(0, total - 1) // sequence_length
    assert predicted(whole, epoch) == found[: len(whole) * sequence_length]


@settings(deadline=None)
@given(lengths_of_documents, st.integers(1, 9), st.integers(0, 2))
def test_items_are_the_documents_one_behind_the_other(lengths, sequence_length, epoch):
    documents = numbered(lengths)
    items = TokenSequences(
        documents,
        sequence_length,
        shuffle=True,
        keep_tail=True,
        reset_position_ids=True,
        reset_attention_mask=True,
        eod_mask_loss=True,
        seed=5,
    )
    document_of = np.repeat(np.arange(len(lengths)), lengths)
    for index in range(len(items)):
        item = items.in_epoch(epoch, index)
        real = item["segment_ids"] > 0
        tokens, labels = item["tokens"][real], item["labels"][real]
        assert (tokens[1:] == labels[:-1]).all()
        assert real.sum() == real.argmin() or real.all()  # padding is at the end
        inside = document_of[tokens]
        changes = np.concatenate([[0], np.cumsum(inside[1:] != inside[:-1])])
        assert (item["segment_ids"][real] == 1 + changes).all()
        # Within a document tokens follow each other, positions count up from 0, and only its own are predicted.
        assert (np.diff(tokens)[np.diff(inside) == 0] == 1).all()
        starts = np.concatenate([[0], 1 + np.flatnonzero(np.diff(inside))])
        assert (
            item["position_ids"][real] == np.arange(len(tokens)) - np.repeat(starts, np.diff([*starts, len(tokens)]))
        ).all()
        assert (item["loss_mask"][real] == (document_of[labels] == inside)).all()
        assert not item["loss_mask"][~real].any()
        assert {value.dtype.name for value in item.values()} == {"int64", "int32", "float32"}


def test_orders_of_documents_differ_by_epoch_and_seed_and_do_not_depend_on_the_way_there():
    def tokens(seed, epochs):
        items = TokenSequences(numbered([5] * 20), 7, shuffle=True, seed=seed)
        return [items.in_epoch(epoch, 3)["tokens"].tolist() for epoch in epochs]

    assert tokens(1, [0, 1, 2, 3]) == tokens(1, [3, 2, 1, 0])[::-1]
    assert len(set(map(tuple, tokens(1, range(10)) + tokens(2, range(10))))) == 20
    items = TokenSequences(numbered([5] * 20), 7, shuffle=True, seed=1)
    items.in_epoch(4, 0)
    assert pickle.loads(pickle.dumps(items)).in_epoch(2, 3)["tokens"].tolist() == tokens(1, [2])[0]


def test_a_part_of_the_documents():
    items = TokenSequences(numbered([3, 4, 5, 6]), 2, first=1, last=3, keep_tail=True)
    assert items.tokens == 9
    assert predicted(items, 0) == list(range(4, 12))
    assert len(TokenSequences(numbered([3]), 2, first=1, keep_tail=True)) == 0
    with pytest.raises(IndexError):
        items[4]


def test_tokens_beyond_the_vocabulary():
    items = TokenSequences(numbered([5, 5]), 4, vocab_size=9)
    assert items[0]["tokens"].tolist() == [0, 1, 2, 3]
    with pytest.raises(DataError, match=r"mock\.bin has the token 9, but the vocabulary has 9"):
        TokenSequences(numbered([5, 5]), 9, vocab_size=9)[0]
    with pytest.raises(DataError, match="token -1"):
        TokenSequences(MockDocuments([[3, -1]]), 1, vocab_size=9)[0]
