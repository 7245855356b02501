from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nemo_asr.decoding import ctc_greedy_search

BLANK = 3
paths = st.lists(st.integers(0, BLANK), max_size=12)


def one_by_one(path):
    """Tokens with their frames, the slow way."""
    found, place = [], 0
    for label, run in itertools.groupby(path):
        length = len(list(run))
        if label != BLANK:
            found.append((label, place, place + length))
        place += length
    return found


@given(batch=st.lists(paths, min_size=1, max_size=5), extra=st.integers(0, 3), garbage=st.integers(0, BLANK))
def test_a_batch_is_decoded_as_its_utterances_one_by_one(batch, extra, garbage):
    frames = max(map(len, batch)) + extra
    labels = torch.full((len(batch), frames), garbage)  # what is beyond the end must not be heard
    for row, path in zip(labels, batch, strict=True):
        row[: len(path)] = torch.tensor(path, dtype=torch.long)
    log_probs = (torch.nn.functional.one_hot(labels, BLANK + 1).float() * 5).log_softmax(-1)
    found = ctc_greedy_search(log_probs, torch.tensor([len(path) for path in batch]), BLANK)
    for hypothesis, path in zip(found, batch, strict=True):
        spans = list(zip(hypothesis.tokens, hypothesis.starts, hypothesis.ends, strict=True))
        assert spans == one_by_one(path)
        best = (torch.tensor([5.0, 0, 0, 0]).log_softmax(0)[0] * len(path)).item()
        assert hypothesis.score == pytest.approx(best, abs=1e-4)


def test_an_empty_batch_and_no_frames():
    assert ctc_greedy_search(torch.zeros(0, 5, 4), torch.zeros(0, dtype=torch.long), BLANK) == []
    (path,) = ctc_greedy_search(torch.zeros(1, 0, 4), torch.tensor([0]), BLANK)
    assert (path.tokens, path.score) == ((), 0.0)
