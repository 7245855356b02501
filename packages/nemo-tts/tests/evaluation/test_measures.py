"""Distances between recordings and synthesis."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import DataError
from nemo_tts.data import load_digits
from nemo_tts.evaluation.measures import compare_speech, mel_cepstra, warp
from nemo_tts.evaluation.roundtrip import word_errors


def test_the_same_word_is_nearer_than_another_and_another_voice() -> None:
    theo, jackson = load_digits("theo"), load_digits("jackson")
    same = compare_speech(theo[7][0], theo[7][1], 8000).mcd
    other_word = compare_speech(theo[7][0], theo[2][1], 8000).mcd
    other_voice = compare_speech(theo[7][0], jackson[7][1], 8000).mcd
    assert compare_speech(theo[7][0], theo[7][0], 8000).mcd == 0
    assert same < other_word
    assert same < other_voice


def test_speed_and_level_are_no_distance() -> None:
    audio = load_digits("theo")[3][0].astype(np.float64)
    places = np.arange(0, len(audio) - 1, 1.0)
    slow = np.interp(np.arange(0, len(audio) - 1, 0.999), places, audio[:-1])
    assert compare_speech(audio, 0.5 * slow, 8000).mcd < 1.0


def test_pitch_in_cents() -> None:
    time = np.arange(16000) / 16000
    one, octave = (sum(np.sin(2 * np.pi * hertz * n * time) / n for n in range(1, 6)) for hertz in (110, 220))
    found = compare_speech(one, octave, 16000)
    assert found.f0_rmse == pytest.approx(1200, abs=20)
    assert found.voicing_error < 0.05
    assert np.isnan(compare_speech(one, np.zeros(16000), 16000).f0_rmse)


def test_too_short_to_compare() -> None:
    with pytest.raises(DataError, match="25 ms"):
        compare_speech(np.zeros(50), np.zeros(8000), 8000)
    assert mel_cepstra(np.zeros(50), 8000).shape == (0, 13)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_warping_is_the_cheapest_path(rows: int, columns: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(rows, 3)), rng.normal(size=(columns, 3))
    i, j = warp(first, second)
    assert (i[0], j[0], i[-1], j[-1]) == (0, 0, rows - 1, columns - 1)
    steps = set(zip(np.diff(i).tolist(), np.diff(j).tolist(), strict=True))
    assert steps <= {(0, 1), (1, 0), (1, 1)}
    distance = np.linalg.norm(first[:, None] - second[None], axis=2)
    best = np.full((rows + 1, columns + 1), np.inf)
    best[0, 0] = 0
    for a in range(rows):
        for b in range(columns):
            best[a + 1, b + 1] = distance[a, b] + min(best[a, b], best[a, b + 1], best[a + 1, b])
    assert distance[i, j].sum() == pytest.approx(best[-1, -1])


@pytest.mark.parametrize(
    ("reference", "heard", "expected"),
    [("one two", "one two", (0, 2)), ("One, two.", "one", (1, 2)), ("a b c", "x a b c", (1, 3)), ("", "a", (1, 0))],
)
def test_words_that_are_wrong(reference: str, heard: str, expected: tuple[int, int]) -> None:
    assert word_errors(reference, heard) == expected
