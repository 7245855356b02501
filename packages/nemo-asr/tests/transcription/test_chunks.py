from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nemo_asr.decoding import Alignment, Hypothesis, Span
from nemo_asr.transcription.chunks import cut_where_quiet, join
from nemo_core.errors import ConfigError, DataError


@given(length=st.integers(1, 5000), longest=st.floats(0.05, 8.0), seed=st.integers(0, 9))
def test_pieces_are_the_audio_and_none_is_long_or_tiny(length, longest, seed):
    samples = np.random.default_rng(seed).standard_normal(length).astype(np.float32)
    pieces = cut_where_quiet(samples, 100, longest)
    assert np.array_equal(np.concatenate(pieces), samples)
    most = max(4, int(longest * 100))
    assert all(len(piece) <= most for piece in pieces)
    assert len(pieces) == 1 or min(map(len, pieces)) >= most // 4


def test_cuts_are_in_the_pauses():
    rng, pauses = np.random.default_rng(0), (900, 1750, 2600)
    samples = rng.standard_normal(3200)
    for pause in pauses:
        samples[pause - 15 : pause + 15] *= 0.01
    pieces = cut_where_quiet(samples, 100, longest=10.0)
    cuts = np.cumsum([len(piece) for piece in pieces])[:-1]
    assert np.abs(cuts - np.array(pauses)).max() < 15


def test_what_is_joined_has_times_of_the_whole():
    first = Hypothesis("oh n", -1.0, (1, 2), 2.0, Alignment((Span("oh", 0.5, 1.0), Span(" n", 1.0, 1.5))))
    silent = Hypothesis("", -0.5, (), 1.0, Alignment(()))
    last = Hypothesis("yes", -2.0, (3,), 0.5, Alignment((Span("yes", 0.1, 0.4),)))
    whole = join([first, silent, last])
    assert (whole.text, whole.score, whole.tokens, whole.duration) == ("oh n yes", -3.5, (1, 2, 3), 3.5)
    assert whole.words == (Span("oh", 0.5, 1.0), Span("n", 1.0, 1.5), Span("yes", 3.1, 3.4))
    assert join([silent, last]).words == (Span("yes", 1.1, 1.4),)
    error = DataError("no memory")
    assert join([first, Hypothesis("", error=error)]).error is error


def test_long_audio_is_transcribed_in_pieces(model):
    rng = np.random.default_rng(0)
    long, short = (0.2 * rng.standard_normal(n).astype(np.float32) for n in (40_000, 6_000))
    pieces = cut_where_quiet(long, 8000, 2.0)
    assert len(pieces) >= 3
    apart = [model.transcribe(piece)[0].text.strip() for piece in pieces]
    for batch_size in (1, 2, 16):
        done = []
        options = {"chunk_seconds": 2.0, "timestamps": True, "batch_size": batch_size, "progress": done.append}
        one, two = model.transcribe([long, short], **options)
        assert one.text == " ".join(text for text in apart if text)
        assert [word.text for word in one.words] == one.text.split()
        assert all(a.start <= b.start for a, b in zip(one.words, one.words[1:], strict=False))
        assert one.duration == pytest.approx(5.0)
        assert one.words[-1].end > 3.0
        assert two.text == model.transcribe(short)[0].text
        assert sum(done) == 2
    with pytest.raises(ConfigError, match="chunk_seconds"):
        model.transcribe(short, chunk_seconds=0.0)


def test_too_little_memory_costs_the_long_audio_only(model, monkeypatch):
    recognize = type(model).recognize

    def forgetful(self, audio, length, **options):
        if audio.numel() > 20_000:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return recognize(self, audio, length, **options)

    monkeypatch.setattr(type(model), "recognize", forgetful)
    audio = [0.1 * torch.randn(n) for n in (12_000, 24_000, 8_000, 12_000)]
    heard = model.transcribe(audio)
    assert [each.error is None for each in heard] == [True, False, True, True]
    assert "audio 1: there is not enough memory for 3.0 s" in heard[1].error.message
    assert "--chunk-seconds" in heard[1].error.hint
    assert model.transcribe(audio, chunk_seconds=2.0)[1].error is None
    with pytest.raises(DataError, match="not enough memory"):
        model.transcribe(audio, on_error="raise")
