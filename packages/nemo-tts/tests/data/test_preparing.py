"""Preparing a corpus: everything once, what is there is kept, bad audio is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from nemo_core.audio import Manifest, MelSpectrogram, write_manifest
from nemo_core.errors import DataError
from nemo_tts.data import ManifestSpeech, SpeechFeatures, load_digits
from nemo_tts.data.preparing import prepare_features

FEATURES = SpeechFeatures(
    MelSpectrogram(8000, n_window_size=256, n_window_stride=64, features=20, normalize=None, preemph=None),
    pitch_fmax=500.0,
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    rows = []
    for digit, takes in enumerate(load_digits("theo")):
        path = tmp_path / "wav" / f"{digit}.wav"
        path.parent.mkdir(exist_ok=True)
        sf.write(path, takes[0], 8000)
        rows.append({"audio_filepath": f"wav/{digit}.wav", "text": f"digit {digit}", "speaker": "theo", "mood": "calm"})
    write_manifest(tmp_path / "corpus.jsonl", rows)
    return tmp_path / "corpus.jsonl"


def test_all_is_found_once(corpus: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    first = prepare_features([corpus], tmp_path / "out", FEATURES, jobs=2, progress=seen.append)
    assert (first.utterances, first.made, first.speakers, sum(seen)) == (10, 10, ["theo"], 10)
    assert 70 < first.pitch_mean < 300
    assert 0 < first.pitch_std < first.pitch_mean
    assert 0.2 < first.voiced < 1
    said = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert said["pitch_mean"] == first.pitch_mean
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npz")}
    assert len(files) == 10
    again = prepare_features([corpus], tmp_path / "out", FEATURES, jobs=1)
    assert again.made == 0
    assert again.pitch_mean == first.pitch_mean
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npz")} == files
    next(iter(files)).write_bytes(b"cut o")  # as a machine that fell over leaves it
    assert prepare_features([corpus], tmp_path / "out", FEATURES, jobs=1).made == 1


def test_what_was_prepared_is_what_is_found_without(corpus: Path, tmp_path: Path) -> None:
    prepare_features([corpus], tmp_path / "out", FEATURES)
    kept = ManifestSpeech(tmp_path / "out" / "manifest.jsonl", FEATURES)
    fresh = ManifestSpeech(corpus, FEATURES)
    assert len(kept) == len(fresh) == 10
    for index in (0, 7):
        np.testing.assert_array_equal(kept[index].features, fresh[index].features)
        np.testing.assert_array_equal(kept[index].audio, fresh[index].audio)
        assert (kept[index].text, kept[index].speaker) == (f"digit {index}", "theo")
    assert json.loads((tmp_path / "out" / "manifest.jsonl").read_text().splitlines()[0])["mood"] == "calm"


def test_features_of_other_settings_are_refused(corpus: Path, tmp_path: Path) -> None:
    prepare_features([corpus], tmp_path / "out", FEATURES)
    other = SpeechFeatures(FEATURES.preprocessor, pitch_fmax=400.0)
    with pytest.raises(DataError, match=r"manifest\.jsonl, line 1: .* other settings"):
        ManifestSpeech(tmp_path / "out" / "manifest.jsonl", other)[0]
    next((tmp_path / "out").rglob("*.npz")).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        list(ManifestSpeech(tmp_path / "out" / "manifest.jsonl", FEATURES))


def test_bad_audio_is_named_or_left_out(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "wav" / "3.wav").write_bytes(b"no audio")
    with pytest.raises(DataError, match=r"corpus\.jsonl, line 4: .*3\.wav"):
        prepare_features([corpus], tmp_path / "out", FEATURES, jobs=2)
    found = prepare_features([corpus], tmp_path / "out", FEATURES, jobs=2, skip_bad=True)
    assert found.utterances == 9
    assert "3.wav" in found.skipped[0]


def test_a_part_of_the_corpus_can_be_taken(corpus: Path, tmp_path: Path) -> None:
    seen: list[float] = []
    out, third = tmp_path / "out", {"text": "digit 3"}
    found = prepare_features([corpus], out, FEATURES, jobs=1, where=third, progress=seen.append)
    assert (found.utterances, sum(seen)) == (1, 10)
    assert Manifest(out / "manifest.jsonl")[0].text == "digit 3"
    everything = {"mood": "calm", "speaker": "theo"}
    assert prepare_features([corpus], out, FEATURES, where=everything).utterances == 10
    with pytest.raises(DataError, match="none of 10 utterances has mood=wild"):
        prepare_features([corpus], out, FEATURES, where={"mood": "wild"})


def test_a_corpus_without_a_voice_is_refused(tmp_path: Path) -> None:
    sf.write(tmp_path / "quiet.wav", np.zeros(8000), 8000)
    write_manifest(tmp_path / "quiet.jsonl", [{"audio_filepath": "quiet.wav", "text": "nothing"}])
    with pytest.raises(DataError, match="no voice in 1 utterances"):
        prepare_features([tmp_path / "quiet.jsonl"], tmp_path / "out", FEATURES)
