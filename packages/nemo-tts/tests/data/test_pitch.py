"""Pitch tracking: voices of known pitch, silence, noise, and what cannot be tracked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError, DataError
from nemo_tts.data.pitch import track_pitch


def voice(hertz: float | np.ndarray, seconds: float = 0.6, rate: int = 16000) -> np.ndarray:
    """Return a buzz with many harmonics, as a glottis makes it."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hertz, time.shape)) / rate
    return sum(np.sin(number * phase) / number for number in range(1, 9))


@settings(max_examples=12, deadline=None)
@given(st.floats(75, 600), st.floats(1e-3, 1.0), st.sampled_from([8000, 16000, 22050]))
def test_the_pitch_of_a_voice_is_found(hertz: float, level: float, rate: int) -> None:
    found = track_pitch(level * voice(hertz, rate=rate), rate, rate // 100, fmax=1000)
    inside = found[5:-5]
    assert (inside > 0).all()
    assert np.abs(1200 * np.log2(inside / hertz)).max() < 10  # cents


def test_a_voice_that_moves_is_followed() -> None:
    hertz = np.geomspace(110, 220, 16000)
    found = track_pitch(voice(hertz, 1.0), 16000, 160)
    assert np.abs(1200 * np.log2(found[5:96] / hertz[800:15360:160])).max() < 30


def test_silence_and_noise_have_no_pitch() -> None:
    assert not track_pitch(np.zeros(8000), 16000, 160).any()
    noise = np.random.default_rng(0).normal(size=16000)
    assert (track_pitch(noise, 16000, 160) > 0).mean() < 0.1


def test_a_voice_between_silences_begins_and_ends() -> None:
    audio = np.concatenate([np.zeros(4800), voice(200, 0.3), np.zeros(4800)])
    found = track_pitch(audio + 1e-4 * np.random.default_rng(1).normal(size=len(audio)), 16000, 160)
    assert not found[:25].any()
    assert (found[33:57] > 0).all()
    assert not found[65:].any()


def test_level_and_company_change_nothing() -> None:
    audio = voice(150)
    one = track_pitch(audio, 16000, 160)
    np.testing.assert_allclose(track_pitch(0.01 * audio, 16000, 160), one, rtol=1e-6)
    many = track_pitch(np.concatenate([audio, np.zeros(64000)]), 16000, 160)
    np.testing.assert_allclose(many[:50], one[:50], rtol=1e-6)  # more frames than are computed at a time


def test_frames_are_where_they_are_asked_for() -> None:
    audio = voice(200)
    assert len(track_pitch(audio, 16000, 160)) == 61
    assert len(track_pitch(audio, 16000, 160, frames=7)) == 7
    assert len(track_pitch(audio, 16000, 160, frames=0)) == 0
    assert len(track_pitch(np.zeros(0), 16000, 160)) == 1
    assert track_pitch(audio[:100], 16000, 160, frames=4).shape == (4,)


def test_what_cannot_be_tracked() -> None:
    with pytest.raises(ConfigError, match="no pitch is between"):
        track_pitch(np.zeros(100), 8000, 80, fmin=3000)
    with pytest.raises(DataError, match="one channel"):
        track_pitch(np.zeros((2, 100)), 8000, 80)
    with pytest.raises(DataError, match="finite"):
        track_pitch(np.array([np.nan, 0.0]), 8000, 80)
