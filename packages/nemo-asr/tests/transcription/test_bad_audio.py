"""What people really have lies in files that are odd, damaged or no audio at all."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf

from nemo_core.errors import DataError, NemoError

RATE = 8000


def noise(seconds=1.0, rate=RATE, seed=0):
    time = np.arange(round(rate * seconds)) / rate
    rng = np.random.default_rng(seed)
    return (0.2 * rng.standard_normal(len(time)) * np.abs(np.sin(4 * np.pi * time))).astype(np.float32)


def hear(model, path, **options):
    """Transcribe ``path`` beside a good audio, which must not suffer."""
    good = noise(0.7, seed=9)
    beside, heard = model.transcribe([good, path], timestamps=True, **options)
    assert beside.words == model.transcribe(good, timestamps=True)[0].words
    assert heard.source == str(path)
    if heard.error is None:
        assert "".join(char.text for char in heard.chars) == heard.text
    else:
        assert isinstance(heard.error, NemoError)
        assert path.name in heard.error.message
        assert heard.text == ""
    return heard


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pcm24.wav", {"subtype": "PCM_24"}),
        ("pcm32.wav", {"subtype": "PCM_32"}),
        ("double.wav", {"subtype": "DOUBLE"}),
        ("alaw.wav", {"subtype": "ALAW"}),
        ("mulaw.wav", {"subtype": "ULAW"}),
        ("pcm8.wav", {"subtype": "PCM_U8"}),
        ("extensible.wav", {"format": "WAVEX"}),
        ("a.flac", {}),
        ("a.mp3", {}),
        ("a.ogg", {}),
        ("a.opus", {"format": "OGG", "subtype": "OPUS"}),
        ("a.aiff", {}),
        ("a.au", {}),
        ("wrong name.txt", {"format": "WAV"}),
    ],
)
def test_formats(model, tmp_path, name, options):
    audio = noise(2.0)
    sf.write(tmp_path / name, audio, RATE, **options)
    heard = hear(model, tmp_path / name)
    assert heard.error is None
    assert heard.duration == pytest.approx(2.0, abs=0.1)
    if options.get("subtype") in ("PCM_24", "PCM_32", "DOUBLE") or name.endswith(("flac", "aiff")):
        assert heard.text == model.transcribe(audio)[0].text


def test_rates_and_channels(model, tmp_path):
    sf.write(tmp_path / "cd.wav", noise(1.0, rate=44100), 44100)
    assert hear(model, tmp_path / "cd.wav").duration == pytest.approx(1.0, abs=1e-3)
    sf.write(tmp_path / "stereo.wav", np.stack([noise(), noise(seed=1)], axis=1), RATE, subtype="FLOAT")
    error = hear(model, tmp_path / "stereo.wav").error
    assert "has 2 channels" in error.message
    assert "--channel" in error.hint
    (second,) = model.transcribe(tmp_path / "stereo.wav", channel=1)
    assert second.text == model.transcribe(noise(seed=1))[0].text


@pytest.mark.parametrize(
    "audio", [np.zeros(RATE), np.sign(noise()), np.full(RATE, 1.0), 1e-30 * noise(), 1e4 * noise()]
)
def test_silence_clipping_and_odd_levels(model, tmp_path, audio):
    sf.write(tmp_path / "odd.wav", audio, RATE, subtype="FLOAT")
    heard = hear(model, tmp_path / "odd.wav")
    assert heard.error is None
    assert np.isfinite(heard.score)


@pytest.mark.parametrize("samples", [1, 2, 39, 40, 41, 200])
def test_a_few_samples(model, tmp_path, samples):
    sf.write(tmp_path / "short.wav", noise()[:samples], RATE)
    heard = hear(model, tmp_path / "short.wav")
    assert heard.error is None
    assert heard.duration == pytest.approx(samples / RATE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(model, tmp_path, value):
    audio = noise()
    audio[123] = value
    sf.write(tmp_path / "nan.wav", audio, RATE, subtype="FLOAT")
    assert "sample 123 is" in hear(model, tmp_path / "nan.wav").error.message


def truncated(path):
    sf.write(path, noise(2.0), RATE)
    path.write_bytes(path.read_bytes()[: 44 + RATE])  # a quarter of the samples


def header_only(path):
    sf.write(path, noise(), RATE)
    path.write_bytes(path.read_bytes()[:30])


def no_samples(path):
    sf.write(path, np.empty(0), RATE)


def damaged_flac(path):
    sf.write(path, noise(4.0), RATE, format="FLAC")
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_text("not audio\n" * 100), "cannot be read as audio"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_bytes(bytes(1000)), "cannot be read as audio"),
        (header_only, "cannot be read as audio"),
        (no_samples, "has no samples"),
        (damaged_flac, "damaged"),
        (lambda path: None, "there is no such file"),
        (lambda path: path.symlink_to(path.with_name("nowhere.wav")), "there is no such file"),
    ],
)
def test_files_that_are_no_audio(model, tmp_path, make, reason):
    path = tmp_path / "bad.wav"
    make(path)
    assert reason in hear(model, path).error.message
    with pytest.raises(DataError, match=r"bad\.wav"):
        model.transcribe(path, on_error="raise")


def test_a_truncated_file_is_heard_as_far_as_it_goes(model, tmp_path):
    truncated(tmp_path / "cut.wav")
    heard = hear(model, tmp_path / "cut.wav")
    assert heard.error is None
    assert heard.duration == pytest.approx(0.5)


def test_a_file_that_must_not_be_read(model, tmp_path):
    path = tmp_path / "secret.wav"
    sf.write(path, noise(), RATE)
    path.chmod(0)
    heard = hear(model, path)  # who is root can read it
    assert heard.error is None or "secret.wav" in heard.error.message


def test_a_folder_without_audio_is_an_error(model, tmp_path):
    (tmp_path / "calls.wav").mkdir()
    with pytest.raises(DataError, match=r"calls\.wav: there is no audio in this folder"):
        model.transcribe(tmp_path / "calls.wav")
