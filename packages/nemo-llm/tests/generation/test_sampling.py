"""Choosing tokens: what is left to chance and what is not."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError
from nemo_llm.generation.sampling import Sampling, choose, row_keys, uniform

FEW = st.integers(2, 40)


def logits_of(seed: int, rows: int, size: int, *, ties: bool) -> torch.Tensor:
    logits = torch.randn(rows, size, generator=torch.Generator().manual_seed(seed)) * 3
    return logits.round() if ties else logits


def kept_by_sorting(logits: torch.Tensor, top_k: int | None, top_p: float | None) -> set[int]:
    """Tokens that are left in one row, by the definition: sorted by probability, the first of equal ones first."""
    probabilities = torch.softmax(logits.float(), -1).double().tolist()
    order = sorted(range(len(probabilities)), key=lambda token: (-probabilities[token], token))
    if top_k is not None:
        order = order[:top_k]
    if top_p is None:
        return set(order)
    total = sum(probabilities[token] for token in order) if top_k is not None else 1.0
    kept, mass = set(), 0.0
    for token in order:
        if mass >= top_p:
            break
        kept.add(token)
        mass += probabilities[token] / total
    return kept


@given(seed=st.integers(0, 10_000), size=FEW, ties=st.booleans(), data=st.data())
@settings(max_examples=150, deadline=None)
def test_what_is_left_is_what_the_definition_says(seed: int, size: int, ties: bool, data: st.DataObject) -> None:
    top_k = data.draw(st.none() | st.integers(1, size + 3))
    top_p = data.draw(st.none() | st.floats(0.05, 1.0))
    logits = logits_of(seed, 1, size, ties=ties)
    expected = kept_by_sorting(logits[0], top_k, top_p)
    draws = [(place + 0.5) / 400 for place in range(400)]
    found = choose(logits.expand(400, -1), Sampling(top_k=top_k, top_p=top_p), draws).tolist()
    assert set(found) <= expected
    probabilities = torch.softmax(logits[0].float(), -1)
    mass = sum(float(probabilities[token]) for token in expected)
    if top_k != 1:
        for token, count in Counter(found).items():  # draws at even distances: counts are probabilities up to one
            assert abs(count - 400 * float(probabilities[token]) / mass) <= 1.01


def test_a_large_vocabulary_needs_no_more_than_its_likeliest_tokens() -> None:
    logits = torch.zeros(2, 4096)
    logits[1, 4000] = 20.0
    found = choose(logits, Sampling(top_p=0.5), [0.9999, 0.9999])
    assert found.tolist() == [2047, 4000]


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 5), size=FEW, top_p=st.none() | st.floats(0.1, 1.0))
@settings(max_examples=60, deadline=None)
def test_a_row_is_chosen_by_itself(seed: int, rows: int, size: int, top_p: float | None) -> None:
    logits = logits_of(seed, rows, size, ties=True)
    draws = [uniform(bytes([row]), seed) for row in range(rows)]
    sampling = Sampling(top_p=top_p, temperature=0.7)
    together = choose(logits, sampling, draws).tolist()
    alone = [int(choose(logits[row : row + 1], sampling, draws[row : row + 1])) for row in range(rows)]
    assert together == alone


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_greedy_takes_the_likeliest_of_any_type(dtype: torch.dtype) -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]], dtype=dtype)
    for sampling in (Sampling(greedy=True), Sampling(temperature=0), Sampling(top_k=1)):
        assert choose(logits, sampling, [0.99, 0.99]).tolist() == [1, 0]


def test_the_smallest_and_largest_draws_choose_tokens_that_can_be() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]])
    assert int(choose(logits, Sampling(), [0.0])) == 1
    assert int(choose(logits, Sampling(), [1 - 2**-53])) == 2


def test_low_temperature_goes_to_greedy() -> None:
    logits = torch.tensor([[1.0, 1.1, 0.9]])
    assert {int(choose(logits, Sampling(temperature=1e-3), [draw])) for draw in (0.01, 0.5, 0.99)} == {1}


def test_the_penalty_makes_what_was_there_less_likely_whatever_its_sign() -> None:
    logits = torch.tensor([[2.0, 1.9, -0.1, -0.15]])
    seen = torch.tensor([[True, False, False, False]])
    assert int(choose(logits, Sampling(greedy=True, repetition_penalty=2.0), [], seen)) == 1
    only_negative = logits[:, 2:]
    assert int(choose(only_negative, Sampling(greedy=True, repetition_penalty=2.0), [], seen[:, :2])) == 1


def test_keys_belong_to_prompts() -> None:
    keys = row_keys([[1], [2], [1]], seed=3)
    assert len(set(keys)) == 3
    assert row_keys([[2], [1], [1]], seed=3) == [keys[1], keys[0], keys[2]]
    assert row_keys([[1]], seed=4) != keys[:1]
    assert row_keys([[1]]) != row_keys([[1]])


def test_random_numbers_are_spread_evenly() -> None:
    numbers = [uniform(b"row", step) for step in range(4000)]
    assert all(0 <= number < 1 for number in numbers)
    assert abs(sum(numbers) / len(numbers) - 0.5) < 4 / math.sqrt(12 * len(numbers))
    tenths = Counter(int(10 * number) for number in numbers)
    assert all(abs(tenths[tenth] - 400) < 100 for tenth in range(10))


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"stop": ("a", "")}, "stop string is empty"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        Sampling(**settings)  # type: ignore[arg-type]
