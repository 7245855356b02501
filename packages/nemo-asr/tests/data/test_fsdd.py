from __future__ import annotations

import importlib.resources
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from nemo_asr.data.fsdd import DIGITS, SAMPLE_RATE, load_recordings

FOLDER = importlib.resources.files("nemo_asr") / "datasets" / "fsdd"
ORIGINAL = Path(__file__).parents[5] / "shared" / "data" / "fsdd" / "audio"


def test_the_subset_is_small_complete_and_balanced():
    assert sum(len(file.read_bytes()) for file in FOLDER.iterdir()) <= 6_000_000
    test, train = load_recordings("test"), load_recordings("train")
    assert {(r.speaker, r.digit, r.take) for r in test} == {
        (speaker, digit, take) for speaker in {r.speaker for r in train} for digit in range(10) for take in range(5)
    }
    assert len(test) == 300
    assert len({r.speaker for r in train}) == 6
    assert len(set(Counter((r.speaker, r.digit) for r in train).values())) == 1
    assert min(r.take for r in train) >= 5


def test_licence_and_attribution_are_beside_the_data():
    assert "Attribution-ShareAlike 4.0 International" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    attribution = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    assert "Zohar Jackson" in attribution
    assert "CC BY-SA 4.0" in attribution or "Attribution-ShareAlike 4.0" in attribution


def test_recordings_are_speech_of_the_stated_rate():
    recordings = load_recordings("test") + load_recordings("train")
    assert (SAMPLE_RATE, len(DIGITS)) == (8000, 10)
    for recording in recordings:
        assert recording.audio.dtype == np.float32
        assert 0.1 < len(recording.audio) / SAMPLE_RATE < 3
        assert 0.01 < np.abs(recording.audio).max() <= 1


def test_samples_are_those_of_the_original():
    if not ORIGINAL.is_dir():
        pytest.skip("the original data set is not here")
    for recording in load_recordings("test")[::13] + load_recordings("train")[::41]:
        name = f"{recording.digit}_{recording.speaker}_{recording.take}.flac"
        original, rate = sf.read(ORIGINAL / recording.speaker / name, dtype="float32")
        assert rate == SAMPLE_RATE
        np.testing.assert_array_equal(recording.audio, original)
