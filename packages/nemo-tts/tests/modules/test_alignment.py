from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import DataError
from nemo_tts.modules import beta_binomial_prior, durations_of, monotonic_alignment
from nemo_tts.modules.alignment import _search
from nemo_tts.modules.compiled_alignment import compiled_search


def best_by_trying(scores):
    """The score of the best monotonic path through (M, T), by the recursion as the textbook has it."""
    frames, tokens = scores.shape
    best = np.full((frames, tokens), -np.inf)
    best[0, 0] = scores[0, 0]
    for m in range(1, frames):
        for t in range(tokens):
            before = best[m - 1, t - 1] if t else -np.inf
            best[m, t] = scores[m, t] + max(best[m - 1, t], before)
    return best[-1, -1]


@st.composite
def batches(draw):
    sizes = draw(st.lists(st.tuples(st.integers(1, 7), st.integers(0, 9)), min_size=1, max_size=4))
    counts = [(tokens, tokens + more) for tokens, more in sizes]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (len(counts), max(m for _, m in counts) + draw(st.integers(0, 2)), max(t for t, _ in counts))
    shape = (*shape[:2], shape[2] + draw(st.integers(0, 2)))
    return counts, rng.standard_normal(shape).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(batches())
def test_the_path_is_monotonic_complete_and_the_best(batch):
    counts, scores = batch
    tokens, frames = (torch.tensor(column) for column in zip(*counts, strict=True))
    path = monotonic_alignment(torch.from_numpy(scores), tokens, frames).numpy()
    for row, (count, length), score in zip(path, counts, scores, strict=True):
        used, rest = row[:length], row[length:]
        assert used[0] == 0
        assert used[-1] == count - 1
        assert set(np.diff(used)) <= {0, 1}
        assert (rest == -1).all()
        found = score[np.arange(length), used].sum(dtype=np.float64)
        assert found == pytest.approx(best_by_trying(score[:length, :count].astype(np.float64)), abs=1e-4)


@settings(deadline=None, max_examples=40)
@given(batches(), st.booleans())
def test_machine_code_finds_what_arrays_find(batch, ties):
    compiled = compiled_search()
    if compiled is None:
        pytest.skip("needs numba")
    counts, scores = batch
    scores = scores.round() if ties else scores
    tokens, frames = (np.array(column) for column in zip(*counts, strict=True))
    paths = [np.full(scores.shape[:2], -1, np.int64) for _ in range(2)]
    ends = [search(scores, tokens, frames, path) for search, path in zip((compiled, _search), paths, strict=True)]
    np.testing.assert_array_equal(paths[0], paths[1])
    np.testing.assert_array_equal(ends[0], ends[1])


@settings(deadline=None, max_examples=30)
@given(batches())
def test_without_numba_the_path_is_the_best_too(batch):
    counts, scores = batch
    tokens, frames = (np.array(column) for column in zip(*counts, strict=True))
    path = np.full(scores.shape[:2], -1, np.int64)
    _search(scores, tokens, frames, path)
    for row, (count, length), score in zip(path, counts, scores, strict=True):
        found = score[np.arange(length), row[:length]].sum(dtype=np.float64)
        assert found == pytest.approx(best_by_trying(score[:length, :count].astype(np.float64)), abs=1e-4)


@settings(deadline=None, max_examples=30)
@given(batches())
def test_company_and_padding_change_nothing(batch):
    counts, scores = batch
    tokens, frames = (torch.tensor(column) for column in zip(*counts, strict=True))
    together = monotonic_alignment(torch.from_numpy(scores), tokens, frames)
    for index, (count, length) in enumerate(counts):
        alone = torch.from_numpy(scores[index : index + 1, :length, :count].copy())
        path = monotonic_alignment(alone, tokens[index : index + 1], frames[index : index + 1])
        assert torch.equal(path[0], together[index, :length])


def test_durations_are_the_frames_of_the_path():
    scores = torch.randn(3, 20, 6)
    tokens, frames = torch.tensor([6, 3, 1]), torch.tensor([20, 9, 4])
    durations = durations_of(monotonic_alignment(scores, tokens, frames), 6)
    assert torch.equal(durations.sum(1), frames)
    assert (durations[1, :3] > 0).all()
    assert (durations[1, 3:] == 0).all()


def test_too_few_frames_are_refused_with_numbers():
    with pytest.raises(DataError, match="utterance 1 of the batch has 2 frames for 3 tokens"):
        monotonic_alignment(torch.zeros(2, 4, 3), torch.tensor([3, 3]), torch.tensor([4, 2]))


def test_scores_that_are_no_numbers_are_refused():
    scores = torch.zeros(2, 4, 3)
    scores[1, 2] = torch.nan
    with pytest.raises(DataError, match="utterance 1 of the batch are not finite"):
        monotonic_alignment(scores, torch.tensor([3, 3]), torch.tensor([4, 4]))


def test_the_prior_is_the_beta_binomial_distribution():
    def beta(a, b):
        return math.gamma(a) * math.gamma(b) / math.gamma(a + b)

    tokens, frames = 5, 9
    prior = beta_binomial_prior(torch.tensor([tokens, 2]), torch.tensor([frames, 3])).exp()
    for m in range(frames):
        a, b = m + 1, frames - m
        wanted = [math.comb(4, k) * beta(k + a, 4 - k + b) / beta(a, b) for k in range(tokens)]
        np.testing.assert_allclose(prior[0, m].numpy(), wanted, rtol=1e-5)
    assert torch.equal(prior[1, :3, :2], beta_binomial_prior(torch.tensor([2]), torch.tensor([3]))[0].exp())
    assert prior[1, 3:].sum() == 0


def test_more_tokens_than_a_byte_counts():
    for search in (_search, compiled_search() or _search):
        path = np.zeros((1, 300), np.int64)
        search(np.zeros((1, 300, 300), np.float32), np.array([300]), np.array([300]), path)
        assert path.tolist() == [list(range(300))]
