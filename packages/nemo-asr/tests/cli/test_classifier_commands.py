"""``nemo asr classify`` and ``nemo asr verify-speakers``."""

from __future__ import annotations

import json

import pytest
import torch

from nemo_asr.models import ClassificationModel, SpeakerModel
from nemo_asr.modules import ConvASREncoder, ConvClassifier, MelSpectrogram, SpeakerDecoder
from nemo_core.cli.main import run

BLOCKS = [{"filters": 8, "kernel": 5}]


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    parts = {"preprocessor": MelSpectrogram(8000, features=20), "encoder": ConvASREncoder(BLOCKS, feat_in=20)}
    classifier = ClassificationModel(**parts, decoder=ConvClassifier(8, 3), labels=["stop", "go", "wait"])
    classifier.save(folder / "commands.nemo")
    SpeakerModel(**parts, decoder=SpeakerDecoder(8, 3, 4, "attention")).save(folder / "speakers.nemo")
    return folder


def test_classes_with_their_probabilities(archives, wav, capsys):
    files = [str(wav("a.wav", seconds=0.5)), str(wav("b.wav", seconds=0.8, seed=1))]
    assert run(["asr", "classify", str(archives / "commands.nemo"), *files, "--top", "3", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["audio_filepath"] for record in records] == files
    for record in records:
        probabilities = [one["probability"] for one in record["classes"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-4)
        assert record["label"] == record["classes"][0]["label"] in ("stop", "go", "wait")

    assert run(["asr", "classify", str(archives / "commands.nemo"), *files]) == 0
    lines = capsys.readouterr().out
    assert all(record["label"] in lines for record in records)


def test_a_damaged_file_costs_that_file_only(archives, wav, tmp_path, capsys):
    (tmp_path / "damaged.wav").write_text("no audio")
    files = [str(tmp_path / "damaged.wav"), str(wav("a.wav"))]
    assert run(["asr", "classify", str(archives / "commands.nemo"), *files, "--json"]) == 1
    out, problem = capsys.readouterr()
    damaged, good = json.loads(out)
    assert "error" in damaged
    assert good["label"]
    assert "damaged.wav" in problem


def test_speakers(archives, wav, capsys):
    model, one, other = str(archives / "speakers.nemo"), str(wav("a.wav")), str(wav("b.wav", seed=1))
    assert run(["asr", "verify-speakers", model, one, one, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["same"] is True
    assert report["similarity"] == pytest.approx(1, abs=1e-4)
    assert run(["asr", "verify-speakers", model, one, other, "--threshold", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"] is False
    assert run(["asr", "verify-speakers", model, one, one]) == 0
    assert capsys.readouterr().out.startswith("the same speaker: similarity 1.000")


@pytest.mark.parametrize("command", ["classify", "verify-speakers"])
def test_another_kind_of_model_is_refused(command, model, wav, tmp_path, capsys):
    model.save(tmp_path / "ctc.nemo")
    files = [str(wav("a.wav"))] * 2
    assert run(["asr", command, str(tmp_path / "ctc.nemo"), *files]) != 0
    problem = capsys.readouterr().err
    assert "CTCModel" in problem
    assert "Traceback" not in problem


def test_a_missing_file(archives, wav, capsys):
    assert run(["asr", "verify-speakers", str(archives / "speakers.nemo"), str(wav("a.wav")), "nowhere.wav"]) != 0
    assert "nowhere.wav" in capsys.readouterr().err
