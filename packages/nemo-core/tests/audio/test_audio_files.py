from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.audio.files import audio_duration, prepare_samples, read_audio
from nemo_core.errors import ConfigError, DataError


def tone(rate, seconds=0.5, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def level(audio, rate, hertz):
    """Amplitude of ``audio`` at a frequency, in its middle half."""
    middle = audio[len(audio) // 4 : 3 * len(audio) // 4]
    return 2 * abs(np.mean(middle * np.exp(-2j * np.pi * hertz * np.arange(len(middle)) / rate)))


@pytest.mark.parametrize(
    ("format", "subtype", "tolerance"),
    [
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "FLOAT", 0),
        ("WAV", "ALAW", 3e-2),
        ("FLAC", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 0.1),
        ("MP3", "MPEG_LAYER_III", 0.1),
    ],
)
def test_formats(tmp_path, format, subtype, tolerance):
    path = tmp_path / f"a.{format.lower()}"
    sf.write(path, tone(16000), 16000, format=format, subtype=subtype)
    audio, rate = read_audio(path)
    assert (audio.dtype, audio.ndim, rate) == (np.float32, 1, 16000)
    if format != "MP3":
        np.testing.assert_allclose(audio[:8000], tone(16000), atol=tolerance)
    assert level(audio, 16000, 440) == pytest.approx(0.5, abs=0.05)
    assert audio_duration(path) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_any_rate_is_resampled(tmp_path, rate):
    sf.write(tmp_path / "a.wav", tone(rate), rate)
    audio, got = read_audio(tmp_path / "a.wav", sample_rate=16000)
    assert got == 16000
    assert len(audio) == pytest.approx(8000, abs=2)
    assert level(audio, 16000, 440) == pytest.approx(0.5, abs=0.01)


def test_another_rate_is_an_error_if_resampling_is_not_wanted(tmp_path):
    sf.write(tmp_path / "a.wav", tone(8000), 8000)
    with pytest.raises(DataError, match=r"a\.wav: its sample rate is 8000 Hz, not 16000 Hz"):
        read_audio(tmp_path / "a.wav", sample_rate=16000, resample=False)


def test_offset_and_duration(tmp_path):
    audio = tone(8000)
    sf.write(tmp_path / "a.wav", audio, 8000, subtype="FLOAT")
    part, _ = read_audio(tmp_path / "a.wav", offset=0.125, duration=0.25)
    np.testing.assert_array_equal(part, audio[1000:3000])
    to_the_end, _ = read_audio(tmp_path / "a.wav", offset=0.25, duration=9)
    np.testing.assert_array_equal(to_the_end, audio[2000:])
    with pytest.raises(DataError, match="offset 2"):
        read_audio(tmp_path / "a.wav", offset=2.0)


def test_channels(tmp_path):
    left, right = tone(8000), tone(8000, hertz=880)
    sf.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 8000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav", channel=1)[0], right)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav", channel="average")[0], (left + right) / 2, atol=1e-6)
    with pytest.raises(DataError, match="has 2 channels"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(DataError, match="no channel 2, only 0 to 1"):
        read_audio(tmp_path / "a.wav", channel=2)
    with pytest.raises(ConfigError, match="'both'"):
        read_audio(tmp_path / "a.wav", channel="both")


def test_bytes_and_open_files(tmp_path):
    path = tmp_path / "a.wav"
    sf.write(path, tone(8000), 8000)
    expected, _ = read_audio(path)
    np.testing.assert_array_equal(read_audio(path.read_bytes())[0], expected)
    with path.open("rb") as file:
        np.testing.assert_array_equal(read_audio(file)[0], expected)
    np.testing.assert_array_equal(read_audio(io.BytesIO(path.read_bytes()))[0], expected)


def bad_files(folder):
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is not audio\n" * 100)
    (folder / "folder.wav").mkdir()
    sf.write(folder / "zero.wav", np.zeros(0, np.float32), 8000)
    sf.write(folder / "nan.wav", np.array([0, np.nan, 0], np.float32), 8000, subtype="FLOAT")
    sf.write(folder / "inf.wav", np.array([0, 0, np.inf], np.float32), 8000, subtype="FLOAT")
    sf.write(folder / "whole.flac", tone(8000), 8000)
    (folder / "cut.flac").write_bytes((folder / "whole.flac").read_bytes()[:30])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.wav", "no such file"),
        ("empty.wav", "is empty"),
        ("text.wav", "cannot be read as audio"),
        ("folder.wav", "is a folder"),
        ("zero.wav", "has no samples"),
        ("nan.wav", "sample 1 is nan"),
        ("inf.wav", "sample 2 is inf"),
        ("cut.flac", "cannot be read as audio"),
    ],
)
def test_bad_audio_is_an_error_that_names_the_file_and_the_reason(tmp_path, name, reason):
    bad_files(tmp_path)
    with pytest.raises(DataError) as caught:
        read_audio(tmp_path / name, sample_rate=16000)
    assert caught.value.message.startswith(str(tmp_path / name))
    assert reason in caught.value.message


def test_bytes_that_are_not_audio():
    with pytest.raises(DataError, match="audio given as bytes"):
        read_audio(b"RIFF nonsense")
    with pytest.raises(DataError, match="no bytes"):
        read_audio(b"")


def test_integers_are_scaled():
    samples = prepare_samples(np.array([-32768, 0, 16384], np.int16), 8000, 8000)
    np.testing.assert_array_equal(samples, np.array([-1, 0, 0.5], np.float32))


def test_loud_audio_whose_energy_overflows_is_not_taken_for_damaged():
    samples = np.full(10, 3e38, np.float32)
    np.testing.assert_array_equal(prepare_samples(samples, 8000, 8000), samples)


def test_one_sample_is_audio():
    assert prepare_samples(np.ones(1), 8000, 8000).shape == (1,)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 3000), place=st.integers(0, 10**6), bad=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_sample_that_is_not_finite_is_found_wherever_it_is(count, place, bad):
    samples = np.zeros(count, np.float32)
    samples[place % count] = bad
    with pytest.raises(DataError, match=f"sample {place % count} is"):
        prepare_samples(samples, 8000, 8000)
