"""Text to speech: batches, streams, voices, what cannot be said."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf
from speech_support import MEL, make_fastpitch, make_speaker

from nemo_core.audio import MelSpectrogram
from nemo_core.errors import ConfigError, DataError, NeuralTypeError
from nemo_tts.models import GriffinLim
from nemo_tts.synthesis import Synthesizer, write_wav

TEXTS = ["One two three. Four!", "Five", "Six seven, eight nine ten. Eleven? Twelve."]


def make(speakers: int = 1, **options: object) -> Synthesizer:
    return make_speaker(options, n_speakers=speakers, speakers=["ann", "bob"] if speakers == 2 else None)


def test_texts_are_spoken_alone_as_together() -> None:
    speaks = make()
    together = speaks.synthesize(TEXTS, batch_size=3)
    for text, speech in zip(TEXTS, together, strict=True):
        (alone,) = speaks.synthesize(text, batch_size=1)
        assert speech.text == alone.text == text
        np.testing.assert_allclose(speech.spectrogram, alone.spectrogram, atol=1e-4)
        assert len(speech.audio) == len(alone.audio)
        assert speech.spectrogram.shape[1] == speech.durations.sum()
        assert len(speech.symbols) == len(speech.durations) == len(speech.pitch)
    assert together[0].symbols.count("t") == TEXTS[0].lower().count("t")


def test_a_stream_is_the_whole_in_pieces() -> None:
    speaks = make(pause=0.1)
    (whole,) = speaks.synthesize(TEXTS[2], batch_size=1)
    pieces = list(speaks.stream(TEXTS[2]))
    assert [piece.text for piece in pieces] == ["Six seven, eight nine ten.", "Eleven?", "Twelve."]
    np.testing.assert_allclose(np.concatenate([piece.audio for piece in pieces]), whole.audio, atol=1e-5)


def test_pace_and_pitch() -> None:
    speaks = make()
    (usual,) = speaks.synthesize("seven")
    (slow,) = speaks.synthesize("seven", pace=0.5)
    assert slow.duration > 1.5 * usual.duration
    (high,) = speaks.synthesize("seven", pitch_shift=12)
    np.testing.assert_allclose(high.pitch, 2 * usual.pitch, rtol=1e-4)


def test_voices_have_names_and_numbers() -> None:
    speaks = make(2)
    by_name, by_number = (speaks.synthesize("seven", speaker=who)[0].spectrogram for who in ("bob", "1"))
    np.testing.assert_array_equal(by_name, by_number)
    (first,) = speaks.synthesize("seven")
    np.testing.assert_array_equal(first.spectrogram, speaks.synthesize("seven", speaker="ann")[0].spectrogram)
    with pytest.raises(DataError, match="there is no speaker 'eve'") as caught:
        speaks.synthesize("seven", speaker="eve")
    assert caught.value.hint == "give one of ann, bob"
    with pytest.raises(DataError, match="below 2"):
        speaks.synthesize("seven", speaker=2)


@pytest.mark.parametrize("text", ["", "  ", "...", "?!", "\n\n"])
def test_what_has_no_words_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"text 2, .* has nothing that can be spoken"):
        make().synthesize(["fine", text])


@pytest.mark.parametrize(("text", "said"), [("smile 😀 now", "GRINNING FACE"), ("שלום", "SHIN"), ("a Ω b", "OMEGA")])
def test_unknown_symbols_are_named(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        make().synthesize(text)


def test_long_texts_are_spoken() -> None:
    (speech,) = make().synthesize("and so on, " * 900)
    assert speech.duration > 60
    assert np.isfinite(speech.audio).all()


def test_models_that_do_not_belong_together_are_refused() -> None:
    model = make_fastpitch(tokenizer=None)
    with pytest.raises(ConfigError, match="no tokenizer"):
        Synthesizer(model)
    with pytest.raises(NeuralTypeError, match="16000"):
        Synthesizer(make().acoustic, GriffinLim(MelSpectrogram(**{**MEL, "sample_rate": 16000})))


def test_files(tmp_path) -> None:
    (speech,) = make().synthesize("seven")
    path = speech.save(tmp_path / "new" / "a.wav")
    audio, rate = sf.read(path, dtype="float32")
    assert (rate, len(audio)) == (8000, len(speech.audio))
    np.testing.assert_allclose(audio, speech.audio.clip(-1, 1), atol=1e-4)
    with pytest.raises(DataError, match=r"ends with \.wav"):
        write_wav(tmp_path / "a.docx", speech.audio, 8000)
    assert [each.name for each in tmp_path.rglob("*") if each.is_file()] == ["a.wav"]
