from __future__ import annotations

import io

import numpy as np
import pytest
import torch

from nemo_core.audio import find_sources
from nemo_core.errors import DataError


def test_folders_and_globs_come_sorted(wav, tmp_path):
    for name in ("calls/b.wav", "calls/a.wav", "calls/deep/c.flac", "calls/notes.txt"):
        wav(name) if not name.endswith("txt") else (tmp_path / name).write_text("")
    assert [source.name.rpartition("/")[2] for source in find_sources(tmp_path / "calls")] == [
        "a.wav",
        "b.wav",
        "c.flac",
    ]
    assert [source.name.rpartition("/")[2] for source in find_sources(f"{tmp_path}/calls/*.wav")] == ["a.wav", "b.wav"]
    assert len(find_sources(f"{tmp_path}/**/*.flac")) == 1


def test_a_file_whose_name_looks_like_a_glob(wav):
    path = wav("take[1].wav")
    assert [source.audio for source in find_sources(str(path))] == [path]


def test_manifests(wav, tmp_path):
    path = wav("a.wav", seconds=2.0)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(f'{{"audio_filepath": "{path}", "text": "hi", "offset": 0.5, "duration": 1.0}}\n{{oops\n')
    good, bad = find_sources(manifest)
    assert (good.text, good.duration(), len(good.read(8000, None))) == ("hi", 1.0, 8000)
    with pytest.raises(DataError, match=r"m\.jsonl, line 2: is not JSON"):
        bad.read(8000, None)


def test_samples_bytes_and_files(wav):
    path = wav("a.wav", seconds=0.5)
    audio = np.zeros(4000, np.float32)
    with path.open("rb") as file:
        items = [audio, torch.zeros(4000), (audio, 16000), path.read_bytes(), io.BytesIO(path.read_bytes()), file, path]
        sources = find_sources(items)
        assert [len(source.read(8000, None)) for source in sources] == [4000, 4000, 2000, 4000, 4000, 4000, 4000]
    assert [source.name for source in sources[:5]] == [f"audio {i}" for i in range(5)]
    assert sources[5].name == sources[6].name == str(path)


def test_arrays_without_a_rate_have_the_stated_one():
    (source,) = find_sources(np.zeros(16000), sample_rate=16000)
    assert (source.duration(), len(source.read(8000, None))) == (1.0, 8000)


@pytest.mark.parametrize("item", [object(), 3.5, np.array(["a"]), {"audio": 1}])
def test_what_cannot_be_transcribed_is_refused(item):
    with pytest.raises(DataError):
        find_sources([item])


def test_nothing_to_transcribe(tmp_path):
    for nothing in ([], tmp_path, f"{tmp_path}/*.wav"):
        with pytest.raises(DataError):
            find_sources(nothing)
