from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.data import ConnectedDigits
from nemo_asr.data.fsdd import DIGITS, load_recordings
from nemo_core.data import item_rng
from nemo_core.errors import ConfigError


@pytest.fixture(scope="module")
def train():
    return ConnectedDigits("train", size=64)


def same(a, b):
    return a.text == b.text and np.array_equal(a.audio, b.audio)


def test_strings_have_one_to_eight_digits_and_sensible_lengths(train):
    for index in range(16):
        item = train.sample(index, item_rng(0, 0, index))
        words = item.text.split()
        assert len(words) == 1 + index % 8
        assert set(words) <= set(DIGITS)
        assert item.audio.dtype == np.float32
        assert np.isfinite(item.audio).all()
        assert 0.2 < len(item.audio) / 8000 / train.lengths[index] < 3


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), epoch=st.integers(0, 100), index=st.integers(0, 63))
def test_a_training_string_depends_on_seed_epoch_and_index_alone(train, seed, epoch, index):
    once = train.sample(index, item_rng(seed, epoch, index))
    again = pickle.loads(pickle.dumps(train)).sample(index, item_rng(seed, epoch, index))
    assert same(once, again)
    assert not same(once, train.sample(index, item_rng(seed, epoch + 1, index)))
    assert not same(once, train.sample(index, item_rng(seed + 1, epoch, index)))


def test_test_strings_never_change_and_another_seed_gives_others():
    one, two, other = (ConnectedDigits("test", size=32, seed=seed) for seed in (0, 0, 1))
    assert all(same(one[index], two[index]) for index in range(32))
    assert sum(one[index].text == other[index].text for index in range(32)) < 8
    assert same(ConnectedDigits("test", size=8)[5], one[5])  # size does not matter


def pieces_of(split):
    """All recordings that the strings of a split can hold, as bytes."""
    dataset = ConnectedDigits(split, size=8)
    return {audio.tobytes() for takes in dataset._recordings.values() for audio in takes}


def test_splits_share_no_recording():
    train, validation, test = map(pieces_of, ("train", "validation", "test"))
    assert not (train & validation)
    assert not (test & (train | validation))
    assert test == {recording.audio.tobytes() for recording in load_recordings("test")}
    assert len(train | validation) == len({recording.audio.tobytes() for recording in load_recordings("train")})
    assert len(validation) == 60


def test_a_string_is_made_of_one_speakers_recordings():
    by_speaker = {}
    for recording in load_recordings("test"):
        by_speaker.setdefault(recording.speaker, []).append(recording)
    strings = ConnectedDigits("test", size=8, gap=(0.1, 0.1))
    item = strings[2]  # three digits
    matches = {}
    for speaker, recordings in by_speaker.items():
        # Test strings are recordings plus noise of deviation 1e-4, at places that gaps of fixed length give away.
        place = 800
        for word in item.text.split():
            fits = [
                recording
                for recording in recordings
                if DIGITS[recording.digit] == word
                and np.abs(
                    item.audio[place : place + len(recording.audio)][: len(recording.audio)]
                    - recording.audio[: len(item.audio) - place]
                ).max()
                < 1e-3
            ]
            if not fits:
                break
            place += len(fits[0].audio) + 800
        else:
            matches[speaker] = place
    assert list(matches.values()) == [len(item.audio)]


@pytest.mark.parametrize(
    "options",
    [
        {"split": "dev"},
        {"size": 0},
        {"min_digits": 3, "max_digits": 2},
        {"gap": (0.3, 0.1)},
        {"gap": (-0.1, 0.1)},
        {"speed": (0, 1)},
    ],
)
def test_nonsense_is_refused(options):
    with pytest.raises(ConfigError, match="digits: "):
        ConnectedDigits(**{"split": "train", "size": 8, **options})


def test_all_recordings_cannot_be_held_out():
    with pytest.raises(ConfigError, match="validation_takes"):
        ConnectedDigits("train", size=8, validation_takes=21).lengths
