"""An evaluation from texts to the page, judged by other models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile as sf
import torch
from speech_support import SIZES, make_fastpitch

from nemo_core.audio import write_manifest
from nemo_core.cli.main import run
from nemo_tts.data import load_digits
from nemo_tts.modules import FFTransformerEncoder
from nemo_tts.tokenizers import EnglishCharsTokenizer


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)  # also for the encoder: what it says must not depend on which tests came before
    tokenizer = EnglishCharsTokenizer()
    encoder = FFTransformerEncoder(n_embed=len(tokenizer), padding_idx=tokenizer.pad, **SIZES)
    path = tmp_path_factory.mktemp("voice") / "voice.nemo"
    make_fastpitch(encoder=encoder, tokenizer=tokenizer).save(path)
    return path


def test_recordings_are_compared_with(voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sf.write(tmp_path / "3.wav", load_digits("theo")[3][0], 8000)
    write_manifest(tmp_path / "test.jsonl", [{"audio_filepath": "3.wav", "text": "three"}])
    command = ["tts", "evaluate", str(voice), str(tmp_path / "test.jsonl"), "-o", str(tmp_path / "report")]
    assert run([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["mcd"] > 0
    assert 0 <= said["voicing_error"] <= 1
    assert said["rows"][0]["recording"] == "audio/0001-recording.wav"
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.count("<audio") == 2
    assert said["rows"][0]["alignment"] == "pictures/0001-alignment.png"
    assert 0 < said["alignment"] <= 1
    assert (tmp_path / "report" / "pictures" / "0001-alignment.png").read_bytes()[:4] == b"\x89PNG"
    assert "pictures/0001-alignment.png" in page
    assert "mel-cepstral distortion" in page
    assert (tmp_path / "report" / "pictures" / "0001.png").read_bytes()[:4] == b"\x89PNG"
    assert run(command) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_texts_alone_are_said(voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts.txt").write_text("one\n\nfive & six\n")
    command = ["tts", "evaluate", str(voice), str(tmp_path / "texts.txt"), "-o", str(tmp_path / "report")]
    assert run([*command, "--limit", "1"]) == 0
    assert "real time" in capsys.readouterr().out
    (tmp_path / "texts.txt").write_text("one\n...\n")
    assert run([*command, "--overwrite"]) == 2
    assert "texts.txt, line 2" in capsys.readouterr().err
    (tmp_path / "texts.txt").write_text("\n")
    assert run([*command, "--overwrite"]) == 2
    assert "no texts" in capsys.readouterr().err


def test_a_model_that_does_not_transcribe_is_refused(
    voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.txt").write_text("one\n")
    command = ["tts", "evaluate", str(voice), str(tmp_path / "texts.txt"), "-o", str(tmp_path / "report")]
    assert run([*command, "--recognizer", str(voice)]) == 2
    assert "does not transcribe" in capsys.readouterr().err
