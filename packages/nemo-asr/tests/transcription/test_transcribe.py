from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile as sf
import torch

from nemo_core.errors import ConfigError, DataError


def noise(seconds, rate=8000, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(round(rate * seconds))).astype(np.float32)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_results_come_in_the_order_of_the_input_whatever_the_batches(model, batch_size):
    audio = [noise(seconds, seed=seed) for seed, seconds in enumerate((0.3, 2.0, 0.7, 1.1, 0.3))]
    expected = [model.transcribe(item)[0] for item in audio]
    heard = model.transcribe(audio, batch_size=batch_size, timestamps=False)
    assert [h.text for h in heard] == [h.text for h in expected]
    assert [h.source for h in heard] == [f"audio {i}" for i in range(5)]
    assert [h.duration for h in heard] == pytest.approx([0.3, 2.0, 0.7, 1.1, 0.3])
    assert len({h.text for h in heard}) > 3  # so that a wrong order would show


def test_the_same_audio_in_any_form_is_heard_the_same(model, tmp_path):
    audio = noise(1.0)
    path = tmp_path / "a.wav"
    sf.write(path, audio, 8000, subtype="FLOAT")
    forms = [audio, torch.from_numpy(audio), audio.tolist(), (audio, 8000), path, str(path), path.read_bytes()]
    assert len({hypothesis.text for hypothesis in model.transcribe(forms)}) == 1
    sf.write(tmp_path / "two.wav", np.stack([noise(1.0, seed=9), audio], axis=1), 8000, subtype="FLOAT")
    (right,) = model.transcribe(tmp_path / "two.wav", channel=1)
    assert right.text == model.transcribe(audio)[0].text


def test_a_damaged_file_costs_that_file_only(model, tmp_path):
    sf.write(tmp_path / "good.wav", noise(1.0), 8000)
    (tmp_path / "text.wav").write_text("no audio")
    sf.write(tmp_path / "nan.wav", np.array([np.nan] * 100, np.float32), 8000, subtype="FLOAT")
    sf.write(tmp_path / "stereo.wav", np.zeros((100, 2)), 8000)
    names = ["text.wav", "good.wav", "missing.wav", "nan.wav", "stereo.wav"]
    heard = model.transcribe([tmp_path / name for name in names])
    assert [hypothesis.error is None for hypothesis in heard] == [False, True, False, False, False]
    assert heard[1].text == model.transcribe(tmp_path / "good.wav")[0].text
    for name, hypothesis in zip(names, heard, strict=True):
        assert hypothesis.source == str(tmp_path / name)
        if hypothesis.error:
            assert name in hypothesis.error.message
            assert hypothesis.text == ""


def test_an_error_is_raised_when_asked_for(model, tmp_path):
    with pytest.raises(DataError, match=r"missing\.wav"):
        model.transcribe([noise(0.5), tmp_path / "missing.wav"], on_error="raise")


def test_timestamps_lie_within_the_audio_and_spell_the_text(model):
    audio = noise(1.0337)
    (hypothesis,) = model.transcribe(audio, timestamps=True)
    assert "".join(char.text for char in hypothesis.chars) == hypothesis.text
    assert [word.text for word in hypothesis.words] == hypothesis.text.split()
    for span in (*hypothesis.chars, *hypothesis.words):
        assert 0 <= span.start < span.end <= len(audio) / 8000 + 1e-3
    assert model.transcribe(audio)[0].words == ()


@pytest.mark.parametrize("samples", [1, 2, 100, 161])
def test_very_short_audio_and_silence(model, samples):
    (hypothesis,) = model.transcribe(np.zeros(samples, np.float32), timestamps=True)
    assert hypothesis.error is None


def test_progress_counts_every_audio(model, tmp_path):
    done = []
    model.transcribe([noise(0.2), tmp_path / "missing.wav", noise(0.2)], batch_size=2, progress=done.append)
    assert done == [2, 1]


def test_options_that_make_no_sense_are_refused(model):
    for options in ({"batch_size": 0}, {"on_error": "ignore"}):
        with pytest.raises(ConfigError):
            model.transcribe(noise(0.2), **options)


def test_no_gradients_and_no_inference_tensors_are_left_behind(model):
    model.transcribe(noise(0.5))
    log_probs, _ = model(torch.randn(1, 4000), torch.tensor([4000]))
    log_probs.sum().backward()
    assert any(weight.grad is not None for weight in model.parameters())


def test_an_audio_that_is_given_twice_is_heard_once(model, tmp_path, monkeypatch):
    for name in "ab":
        sf.write(tmp_path / f"{name}.wav", noise(1.0, seed=ord(name)), 8000)
    path, other = tmp_path / "a.wav", tmp_path / "b.wav"
    lines = [
        {"audio_filepath": "a.wav", "text": "x"},
        {"audio_filepath": "a.wav", "text": "y"},
        {"audio_filepath": "a.wav", "offset": 0.5},
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    heard, shapes, done = type(model).recognize, [], []
    monkeypatch.setattr(type(model), "recognize", lambda *a, **k: shapes.append(len(a[1])) or heard(*a, **k))
    monkeypatch.chdir(tmp_path)
    found = model.transcribe([path, other, str(path), "a.wav", tmp_path / "m.jsonl"], progress=done.append)
    assert sum(shapes) == 3  # a, b, and the part of a
    assert sum(done) == len(found) == 7
    assert [each.source for each in found][:4] == [str(path), str(other), str(path), "a.wav"]
    assert [each.reference for each in found] == [None, None, None, None, "x", "y", None]


def test_texts_alone(model, tmp_path):
    audio = [noise(0.5), noise(1.0, seed=1)]
    texts = model.transcribe(audio, return_hypotheses=False)
    assert texts == [each.text for each in model.transcribe(audio)]
    with pytest.raises(DataError, match=r"none\.wav"):
        model.transcribe([*audio, tmp_path / "none.wav"], return_hypotheses=False)
    assert model.transcribe([*audio, tmp_path / "none.wav"], return_hypotheses=False, on_error="keep") == [*texts, ""]


def test_many_threads_with_one_model(model):
    audio = [noise(0.2 + 0.1 * seed, seed=seed) for seed in range(6)]
    expected = [each.text for each in model.transcribe(audio)]
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(lambda size: model.transcribe(audio, batch_size=size), [1, 2, 3, 6, 2, 1]))
    assert all([each.text for each in run] == expected for run in runs)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
