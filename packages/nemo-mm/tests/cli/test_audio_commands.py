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
    assert [each["audio"] for each in found] == files
    assert run(["mm", "transcribe", str(folder), files[0], *options]) == 0
    assert capsys.readouterr().out.strip() == found[0]["text"]
    assert run(["mm", "ask", str(folder), files[0], "what is it", "--max-tokens", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "files": files[:1],
        "question": "what is it",
        "answer": found[0]["text"],
    }


def test_what_cannot_be_read_is_said_and_the_rest_transcribed(folder, tmp_path, capsys):
    (tmp_path / "c.wav").write_bytes(b"")
    files = [str(tmp_path / "c.wav"), str(tmp_path / "a.wav")]
    assert run(["mm", "transcribe", str(folder), *files, "--prompt", "is it", "--max-tokens", "2", "--json"]) == 1
    printed = capsys.readouterr()
    assert "the file is empty" in printed.err
    assert [("error" in each) for each in json.loads(printed.out)] == [True, False]


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
