from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_core.audio.manifest import Manifest, write_manifest
from nemo_core.errors import DataError


def write_lines(path, *lines):
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_fields_are_read_and_relative_paths_belong_to_the_manifests_folder(tmp_path):
    line = {
        "audio_filepath": "wavs/a.wav",
        "duration": 1.5,
        "text": "grüß gott",
        "offset": 0.25,
        "speaker": 7,
        "lang": "de",
        "orig_sample_rate": 44100,
    }
    entry = Manifest(write_lines(tmp_path / "m.jsonl", line))[0]
    assert entry.audio == tmp_path / "wavs" / "a.wav"
    assert (entry.duration, entry.offset, entry.text) == (1.5, 0.25, "grüß gott")
    assert (entry.speaker, entry.lang, entry.extra) == ("7", "de", {"orig_sample_rate": 44100})


def test_absolute_paths_stay(tmp_path):
    path = tmp_path / "elsewhere" / "a.wav"
    assert Manifest(write_lines(tmp_path / "m.jsonl", {"audio_filepath": str(path), "text": ""}))[0].audio == path


def test_other_names_of_fields(tmp_path):
    (tmp_path / "a.txt").write_text(" from a file\n")
    manifest = Manifest(
        write_lines(
            tmp_path / "m.jsonl",
            {"audio_filename": "a.wav", "normalized_text": "normalised"},
            {"audio_filepath": "a.wav", "text_filepath": "a.txt"},
        )
    )
    assert [entry.text for entry in manifest] == ["normalised", "from a file"]


def test_a_label_stands_in_for_the_text(tmp_path):
    lines = [{"label": "yes"}, {"command": "no"}, {"label": 3}, {"label": "x", "text": "said"}, {"label": None}]
    manifest = Manifest(write_lines(tmp_path / "m.jsonl", *({"audio_filepath": "a.wav", **line} for line in lines)))
    assert [entry.text for entry in manifest] == ["yes", "no", "3", "said", None]


def test_several_manifests_are_read_as_one_and_blank_lines_do_not_count(tmp_path):
    first = write_lines(tmp_path / "1.jsonl", {"audio_filepath": "1.wav"}, "", "  ", {"audio_filepath": "2.wav"})
    second = write_lines(tmp_path / "2.jsonl", "", {"audio_filepath": "3.wav"})
    manifest = Manifest([first, second])
    assert [entry.audio.name for entry in manifest] == ["1.wav", "2.wav", "3.wav"]
    assert [manifest[i].audio.name for i in (2, 0, -1)] == ["3.wav", "1.wav", "3.wav"]
    assert [entry.audio.name for entry in manifest[1:]] == ["2.wav", "3.wav"]
    assert manifest.where(1) == f"{first}, line 4"
    assert manifest.where(2) == f"{second}, line 2"
    with pytest.raises(IndexError):
        manifest[3]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{'audio_filepath': 'a.wav'}", "is not JSON"),
        ('{"audio_filepath": "a.wav"', "is not JSON"),
        ("[1, 2]", "is not a JSON object"),
        ({"text": "a"}, "has no audio_filepath"),
        ({"audio_filepath": 3, "text": "a"}, "has no audio_filepath"),
        ({"audio_filepath": "a.wav"}, "has no text"),
        ({"audio_filepath": "a.wav", "text": 3}, "text is 3, not a string"),
        ({"audio_filepath": "a.wav", "text": "a", "duration": "long"}, "duration is 'long'"),
        ({"audio_filepath": "a.wav", "text": "a", "duration": -1}, "duration is -1"),
        ('{"audio_filepath": "a.wav", "text": "a", "duration": NaN}', "duration is nan"),
        ({"audio_filepath": "a.wav", "text": "a", "offset": True}, "offset is True"),
        ({"audio_filepath": "a.wav", "text_filepath": "none.txt"}, "text_filepath"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(tmp_path, line, said):
    path = write_lines(tmp_path / "m.jsonl", {"audio_filepath": "a.wav", "text": "fine"}, "", line)
    manifest = Manifest(path, require_text=True)
    assert manifest[0].text == "fine"
    with pytest.raises(DataError) as caught:
        manifest[1]
    assert caught.value.message.startswith(f"{path}, line 3: ")
    assert said in caught.value.message


def test_bytes_that_are_not_utf8_are_an_error_of_that_line(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"audio_filepath": "\xff.wav"}\n')
    with pytest.raises(DataError, match="line 1: is not JSON"):
        Manifest(path)[0]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_manifest_without_lines(tmp_path, content):
    path = tmp_path / "m.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match="no utterances"):
        Manifest(path)


def test_a_manifest_that_is_missing_or_a_folder(tmp_path):
    with pytest.raises(DataError, match="no such manifest"):
        Manifest(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="not a file"):
        Manifest(tmp_path)


def test_a_manifest_travels_to_workers_without_its_lines(tmp_path):
    path = tmp_path / "m.jsonl"
    write_manifest(path, [{"audio_filepath": f"{i}.wav", "text": "x" * 1000} for i in range(500)])
    manifest = Manifest(path)
    sent = pickle.dumps(manifest)
    assert len(sent) < 500 * 20
    assert pickle.loads(sent)[499].audio.name == "499.wav"


@given(texts=st.lists(st.text(), min_size=1, max_size=5))
def test_what_is_written_is_read(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("manifest") / "m.jsonl"
    write_manifest(path, [{"audio_filepath": "a.wav", "text": text} for text in texts])
    assert [entry.text for entry in Manifest(path)] == texts
