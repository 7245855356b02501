from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import soundfile as sf

from nemo_asr.data import SpeechData, SpeechDataset
from nemo_core.errors import ConfigError, DataError

BAD = {
    "not_json": "{nonsense",
    "no_audio": json.dumps({"text": "a", "duration": 1}),
    "no_text": json.dumps({"audio_filepath": "good.wav", "duration": 1}),
    "missing": json.dumps({"audio_filepath": "missing.wav", "text": "a", "duration": 1}),
    "empty": json.dumps({"audio_filepath": "empty.wav", "text": "a", "duration": 1}),
    "zero_length": json.dumps({"audio_filepath": "zero.wav", "text": "a", "duration": 1}),
    "nan": json.dumps({"audio_filepath": "nan.wav", "text": "a", "duration": 1}),
    "wrong_rate": json.dumps({"audio_filepath": "fast.wav", "text": "a", "duration": 1}),
}


@pytest.fixture
def folder(tmp_path):
    sf.write(tmp_path / "good.wav", np.linspace(-0.5, 0.5, 4000), 8000)
    sf.write(tmp_path / "long.wav", np.linspace(-0.5, 0.5, 24000), 8000)
    sf.write(tmp_path / "fast.wav", np.zeros(16000), 16000)
    sf.write(tmp_path / "zero.wav", np.zeros(0), 8000)
    sf.write(tmp_path / "nan.wav", np.array([np.nan, 0], np.float32), 8000, subtype="FLOAT")
    (tmp_path / "empty.wav").write_bytes(b"")
    return tmp_path


GOOD = json.dumps({"audio_filepath": "good.wav", "text": "one", "duration": 0.5})
LONG = json.dumps({"audio_filepath": "long.wav", "text": "two", "duration": 3.0})


def manifest(folder, *lines):
    path = folder / "m.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_an_error_that_names_manifest_and_line(folder, kind):
    path = manifest(folder, GOOD, BAD[kind])
    dataset = SpeechDataset(path, 8000, resample=False)
    assert dataset[0].text == "one"
    with pytest.raises(DataError) as caught:
        dataset[1]
    assert caught.value.message.startswith(f"{path}, line 2: ")
    assert caught.value.exit_code == 2


def test_bad_input_is_skipped_and_counted_when_asked_for(folder, caplog):
    path = manifest(folder, GOOD, *BAD.values())
    data = SpeechData(validation=path, sample_rate=8000, resample=False, on_bad_audio="skip", batch_size=20)
    with caplog.at_level(logging.WARNING, logger="nemo_asr"):
        (batch,) = list(data.val_dataloader()[0])
    assert (batch.texts, batch.skipped) == (["one"], len(BAD))
    assert batch.audio.shape == (1, 4000)
    for line in range(2, 2 + len(BAD)):
        assert f"{path}, line {line}: " in caplog.text


def test_a_batch_of_which_nothing_is_left(folder):
    data = SpeechData(test=manifest(folder, BAD["nan"]), sample_rate=8000, on_bad_audio="skip")
    (batch,) = list(data.test_dataloader()[0])
    assert (batch.audio.shape, batch.texts, batch.skipped) == ((0, 0), [], 1)


def test_skipped_lines_do_not_stop_batches_by_length(folder):
    path = manifest(folder, *[GOOD] * 3, *BAD.values(), *[LONG] * 3)
    data = SpeechData(path, sample_rate=8000, on_bad_audio="skip", batch_size=2, buckets=2)
    batches = list(data.train_dataloader())
    assert sorted(text for batch in batches for text in batch.texts) == ["a"] + ["one"] * 3 + ["two"] * 3
    assert sum(batch.skipped for batch in batches) == len(BAD) - 1  # the file of another rate is resampled here


def test_other_choices_for_bad_audio_are_refused(folder):
    with pytest.raises(ConfigError, match="on_bad_audio"):
        SpeechDataset(manifest(folder, GOOD), on_bad_audio="ignore")


def test_duration_limits_apply_to_training_alone(folder):
    path = manifest(folder, GOOD, LONG)
    data = SpeechData(path, path, sample_rate=8000, max_duration=1.0)
    assert [len(data.dataset("train")), len(data.dataset("validation"))] == [1, 2]
    assert SpeechDataset(path, 8000, min_duration=1.0)[0].text == "two"


def test_lengths_come_from_the_header_where_the_manifest_has_none(folder):
    line = json.dumps({"audio_filepath": "long.wav", "text": "two", "offset": 1.0})
    assert SpeechDataset(manifest(folder, GOOD, line), 8000).lengths.tolist() == [0.5, 2.0]


def test_named_evaluation_sets(folder):
    path = manifest(folder, GOOD, LONG)
    data = SpeechData(validation={"clean": path, "other": [path, path]}, sample_rate=8000)
    assert {name: len(dataset) for name, dataset in data.dataset("validation").items()} == {"clean": 2, "other": 4}
    assert len(data.val_dataloader()) == 2


def test_workers_read_the_same_batches(folder):
    path = manifest(folder, *[GOOD, LONG] * 4)
    alone, helped = (
        [batch.texts for batch in SpeechData(path, sample_rate=8000, batch_size=3, num_workers=n).train_dataloader()]
        for n in (0, 2)
    )
    assert alone == helped


def test_batches_are_zero_padded(folder):
    data = SpeechData(test=manifest(folder, GOOD, LONG), sample_rate=8000)
    (batch,) = list(data.test_dataloader()[0])
    assert batch.length.tolist() == [4000, 24000]
    assert not batch.audio[0, 4000:].any()
    assert batch.audio[1, 23999] == pytest.approx(0.5, abs=1e-3)
