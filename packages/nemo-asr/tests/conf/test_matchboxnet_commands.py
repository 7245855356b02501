"""The recipe of MatchboxNet on single words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch

from nemo_asr.models import ClassificationModel, restore
from nemo_core.audio.manifest import write_manifest
from nemo_core.cli.main import run
from nemo_core.config import Trust, compose, find_recipe, instantiate

RECIPE = "asr/matchboxnet_commands"


def test_every_size_has_the_weights_that_the_table_says():
    table = re.findall(r"^# \| (\w+) +\|.*\| +([\d.]+) M \|$", find_recipe(RECIPE).path.read_text(), re.MULTILINE)
    assert [name for name, _ in table] == list(compose(RECIPE).sizes)
    for name, millions in table:
        with torch.device("meta"):
            encoder = instantiate(compose(RECIPE, [f"size={name}"]).model.encoder, trust=Trust.user())
        assert f"{encoder.num_weights / 1e6:.2f}" == millions


def test_there_are_as_many_labels_as_classes():
    config = compose(RECIPE)
    assert len(config.labels) == len(set(config.labels)) == config.model.decoder.num_classes
    assert all(isinstance(label, str) for label in config.labels)  # also those that YAML could take for truth values


def test_the_tiny_size_trains_on_commands(wav, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["no", "yes"]
    lines = [
        {
            "audio_filepath": wav(f"{index}.wav", seconds=0.5, seed=index).name,
            "duration": 0.5,
            "command": words[index % 2],
        }
        for index in range(8)
    ]
    write_manifest(tmp_path / "train.jsonl", lines)
    options = [
        *("size=tiny", "data.train=train.jsonl", "data.validation=train.jsonl", "labels=[no,yes]"),
        *("model.decoder.num_classes=2", "data.sample_rate=8000", "data.num_workers=0", "data.batch_size=4"),
        *("trainer.max_epochs=2", "model.preprocessor.n_fft=256"),
    ]
    assert run(["train", RECIPE, *options]) == 0
    (archive,) = Path("runs").glob("*/v1/model.nemo")
    assert 0 <= json.loads((archive.parent / "metrics.json").read_text())["val_accuracy"] <= 1
    model = restore(archive)
    assert isinstance(model, ClassificationModel)
    assert {found.label for found in model.classify("train.jsonl")} <= set(words)
