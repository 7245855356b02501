"""Asking and transcribing from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nemo_core.cli.main import run

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from tiny_speech import RATE, saved


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(2000), RATE)
    return saved(tmp_path)


def test_recordings_are_transcribed(folder, tmp_path, capsys):
    files = [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    options = ["--prompt", "what is it", "--max-tokens", "4"]
    assert run(["mm", "transcribe", str(folder), *files, *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["transcribed"], found["failed"], found["audio_seconds"]) == (2, 0, 0.5)
    assert [each["audio_filepath"] for each in found["transcripts"]] == files
    text = found["transcripts"][0]["pred_text"]
    assert run(["mm", "transcribe", str(folder), files[0], *options, "--format", "txt"]) == 0
    assert capsys.readouterr().out.strip() == text
    assert run(["mm", "ask", str(folder), files[0], "what is it", "--max-tokens", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"files": files[:1], "question": "what is it", "answer": text}


def test_folders_globs_and_manifests_are_written_to_a_folder(folder, tmp_path, capsys):
    lines = [{"audio_filepath": "a.wav", "duration": 0.25, "text": "one two"}, {"audio_filepath": "none.wav"}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    out = tmp_path / "out"
    command = ["mm", "transcribe", str(folder), "--prompt", "is it", "--max-tokens", "2", "-o", str(out)]
    assert run([*command, f"{tmp_path}/*.wav"]) == 0
    assert {path.name for path in out.iterdir()} == {"a.txt", "b.txt", "transcripts.jsonl"}
    kept = (out / "a.txt").read_text()
    assert run([*command, str(tmp_path / "m.jsonl")]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run([*command, str(tmp_path / "m.jsonl"), "--overwrite", "--format", "json"]) == 1
    printed = capsys.readouterr()
    assert "none.wav: there is no such file" in printed.err
    assert "1 transcribed, 1 failed" in printed.out
    assert "WER" in printed.out
    found = [json.loads(line) for line in (out / "transcripts.jsonl").read_text().splitlines()]
    assert [each.get("text") for each in found] == ["one two", None]
    assert "no such file" in found[1]["error"]
    assert (out / "a.txt").read_text() == kept


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "words.wav").write_bytes(b"no audio")
    soundfile.write(tmp_path / "silent.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "two.wav", 0.1 * rng.standard_normal((2000, 2)), RATE)
    soundfile.write(tmp_path / "nan.wav", np.full(2000, np.nan, np.float32), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "fast.wav", 0.1 * rng.standard_normal(11025), 44100)
    soundfile.write(tmp_path / "long.wav", np.zeros(RATE * 400), RATE)
    return tmp_path


BAD = {
    "empty.wav": "the file is empty",
    "words.wav": "cannot be read as audio",
    "silent.wav": "has no samples",
    "two.wav": "has 2 channels",
    "nan.wav": "sample 0 is nan",
    "long.wav": "400.0 s of audio",
    "none.wav": "there is no such file",
}


def test_bad_recordings_are_named_and_the_rest_transcribed(folder, bad, tmp_path, capsys):
    files = [str(bad / name) for name in [*BAD, "fast.wav"]]  # one of another rate is resampled
    assert run(["mm", "transcribe", str(folder), *files, "--prompt", "is it", "--max-tokens", "2", "--json"]) == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out)["transcripts"]
    for each, (name, says) in zip(found, BAD.items(), strict=False):
        assert name in each["error"]
        assert says in each["error"]
        assert each["error"] in printed.err
    assert "error" not in found[-1]
    assert found[-1]["duration"] == 0.25
    assert run(["mm", "transcribe", str(folder), str(bad / "two.wav"), "--prompt", "is it", "--channel", "1"]) == 0
    assert run(["mm", "transcribe", str(folder), str(bad / "empty.wav")]) == 1
    assert "audio" not in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("name", BAD)
def test_a_question_about_a_bad_recording(name, folder, bad, capsys):
    assert run(["mm", "ask", str(folder), str(bad / name), "is it", "--max-tokens", "2"]) == 2
    assert BAD[name] in capsys.readouterr().err


def test_what_else_is_wrong_is_said(folder, tmp_path, capsys):
    a = str(tmp_path / "a.wav")
    for command, says in (
        (["ask", str(folder), a, a, "<audio> is it"], "1 times, and it has 2 recordings"),
        (["ask", str(folder), a, "<audio> is <audio>"], "2 times, and it has 1 recordings"),
        (["ask", str(folder), a], "the last argument is the question"),
        (["ask", str(folder), f"{a}x.wav"], "there is no such file, and no question"),
        (["ask", str(folder), a, " "], "the question is empty"),
        (["transcribe", str(folder), str(tmp_path / "*.ogg")], "no file matches"),
        (["transcribe", str(folder), a, "--format", "srt"], "one of txt, json"),
        (["transcribe", str(folder), a, "--format", "txt,json"], "only one format"),
        (["transcribe", str(folder), a, "-o", a], "is a file"),
    ):
        assert run(["mm", *command]) == 2, command
        assert says in capsys.readouterr().err


def test_another_kind_of_model_is_refused(tmp_path, capsys):
    from nemo_llm.megatron import engine
    from nemo_llm.megatron.checkpoint import save_model_folder
    from nemo_llm.models.language_model import LanguageModel

    with engine(seed=1):
        model = LanguageModel({"vocab_size": 8, "hidden_size": 16, "num_layers": 1, "num_heads": 2})
        model.build()
        save_model_folder(tmp_path / "llm.dist", list(model.chunks), model.config)
    assert run(["mm", "transcribe", str(tmp_path / "llm.dist"), "a.wav"]) == 2
    assert "llm.dist" in capsys.readouterr().err
