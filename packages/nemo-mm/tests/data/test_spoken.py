"""Files of conversations with audio: what is read, and what is said of what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nemo_core.errors import DataError
from nemo_mm.data.spoken import SkippedRow, SpeechConversations

ASK = [{"role": "user", "content": "<audio> And?"}, {"role": "assistant", "content": "One."}]


def write(folder: Path, *records: dict) -> Path:
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def tone(path: Path, seconds: float = 0.5, rate: int = 8000, channels: int = 1) -> str:
    samples = 0.1 * np.sin(np.arange(round(seconds * rate)) * 0.3)
    soundfile.write(path, np.stack([samples] * channels, 1), rate)
    return path.name


def test_marks_and_files_in_any_turn(tmp_path):
    first, second = tone(tmp_path / "a.wav"), tone(tmp_path / "b.flac", 0.25)
    messages = [*ASK, {"role": "user", "content": "Or <audio>?"}, {"role": "assistant", "content": "Two."}]
    row = SpeechConversations(write(tmp_path, {"messages": messages, "audio": [first, second]}), 8000)[0]
    assert [len(samples) for samples in row.audio] == [4000, 2000]
    assert row.conversation.messages == messages


def test_parts_of_type_audio_are_marks(tmp_path):
    parts = [{"type": "text", "text": "Hear "}, {"type": "audio", "audio": tone(tmp_path / "a.wav")}]
    messages = [{"role": "user", "content": parts}, ASK[1]]
    row = SpeechConversations(write(tmp_path, {"messages": messages}), 8000)[0]
    assert row.conversation.messages[0]["content"] == "Hear <audio>"
    assert len(row.audio) == 1


def test_a_part_of_a_file(tmp_path):
    tone(tmp_path / "a.wav", 1.0)
    piece = {"path": "a.wav", "offset": 0.25, "duration": 0.5}
    assert len(SpeechConversations(write(tmp_path, {"messages": ASK, "audio": piece}), 8000)[0].audio[0]) == 4000


def test_text_needs_no_audio(tmp_path):
    row = SpeechConversations(write(tmp_path, {"prompt": "1 + 1?", "completion": "2"}), 8000)[0]
    assert row.audio == []


def test_other_rates_are_resampled_or_refused(tmp_path):
    path = write(tmp_path, {"messages": ASK, "audio": tone(tmp_path / "a.wav", rate=16000)})
    assert len(SpeechConversations(path, 8000)[0].audio[0]) == 4000
    with pytest.raises(DataError, match=r"train.jsonl, line 1: .*a.wav: its sample rate is 16000 Hz, not 8000 Hz"):
        SpeechConversations(path, 8000, resample=False)[0]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"messages": ASK}, "say <audio> 1 times, and it names 0 audio files"),
        ({"messages": ASK, "audio": ["a.wav", "a.wav"]}, "1 times, and it names 2 audio files"),
        ({"messages": ASK, "audio": "a.wav", "audios": ["a.wav"]}, "both audio and audios"),
        ({"messages": ASK, "audio": 3}, "3 names no audio file"),
        ({"messages": ASK, "audio": {"path": "a.wav", "offset": -1}}, "offset is -1, not a number of seconds"),
        ({"messages": ASK, "audio": "a.wav", "transcript": 3}, "transcript is 3"),
        ({"messages": ASK, "audio": "a.wav", "transcript": ["a", "b"]}, "2 transcripts, and names 1 audio files"),
        ({"messages": ASK[:1], "audio": "a.wav"}, "the assistant says nothing"),
        ({"text": "nothing to say"}, "is no conversation"),
    ],
)
def test_mistakes_in_records_are_named(tmp_path, record, message):
    good = {"prompt": "1 + 1?", "completion": "2"}
    with pytest.raises(DataError, match=message) as caught:
        SpeechConversations(write(tmp_path, good, record), 8000)
    assert "train.jsonl, line 2" in caught.value.message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.wav", None, "there is no such file"),
        ("empty.wav", b"", "the file is empty"),
        ("broken.wav", b"RIFF....", "cannot be read as audio"),
    ],
)
def test_bad_audio_is_an_error_or_skipped(tmp_path, caplog, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    path = write(tmp_path, {"messages": ASK, "audio": name})
    with pytest.raises(DataError, match=f"train.jsonl, line 1: .*{message}"):
        SpeechConversations(path, 8000)[0]
    row = SpeechConversations(path, 8000, on_bad_audio="skip")[0]
    assert isinstance(row, SkippedRow)
    assert message in caplog.text


def test_no_samples_and_several_channels_are_bad_audio(tmp_path):
    tone(tmp_path / "none.wav", 0.0)
    tone(tmp_path / "two.wav", channels=2)
    for name, message in (("none.wav", "no samples"), ("two.wav", "has 2 channels")):
        with pytest.raises(DataError, match=f"line 1: .*{message}"):
            SpeechConversations(write(tmp_path, {"messages": ASK, "audio": name}), 8000)[0]
    assert SpeechConversations(write(tmp_path, {"messages": ASK, "audio": "two.wav"}), 8000, channel=1)[0].audio
