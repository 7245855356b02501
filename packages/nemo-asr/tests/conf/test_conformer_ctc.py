"""The recipes of Conformer-CTC and FastConformer-CTC."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from nemo_asr.models import CTCModel, restore
from nemo_core.cli.main import run
from nemo_core.config import Trust, compose, find_recipe, instantiate

RECIPES = ["asr/conformer_ctc", "asr/fastconformer_ctc"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """Spoken digit strings at 8 kHz."""
    folder = tmp_path_factory.mktemp("digits")
    assert run(["asr", "digits", "--split", "test", "--n", "24", "-o", str(folder / "audio")]) == 0
    return folder / "audio" / "manifest.jsonl"


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_size_has_the_weights_that_the_table_says(recipe):
    config = compose(recipe)
    table = re.findall(r"^# \| (\w+) +\|.*\| +([\d.]+) M \|$", find_recipe(recipe).path.read_text(), re.MULTILINE)
    assert [name for name, _ in table] == list(config.sizes)
    for name, millions in table:
        with torch.device("meta"):
            encoder = instantiate(compose(recipe, [f"size={name}"]).model.encoder, trust=Trust.user())
        assert f"{encoder.num_weights / 1e6:.2f}" == millions


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_tiny_size_trains_on_manifests(recipe, manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [
        *("size=tiny", f"data.train={manifest}", f"data.validation={manifest}", "tokenizer.vocab_size=30"),
        *("data.sample_rate=8000", "data.num_workers=0", "data.buckets=2"),
        *("trainer.max_epochs=2", "optim.scheduler.warmup_steps=2"),
    ]
    assert run(["train", recipe, *options]) == 0
    (archive,) = Path("runs").glob("*/v1/model.nemo")
    metrics = json.loads((archive.parent / "metrics.json").read_text())
    assert 0 < metrics["val_loss"] < float("inf")
    model = restore(archive)
    assert isinstance(model, CTCModel)
    assert len(model.tokenizer) == 30
    assert len(model.transcribe(manifest)) == 24


def test_three_mistakes_give_three_lines_with_suggestions(capsys):
    assert run(["train", "asr/fastconformer_ctc", "modl.encoder.n_layer=4", "trainer.max_epoch=x"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  ")]
    assert len(lines) == 3
    assert all("did you mean" in line for line in lines)
    for line, suggestion in zip(lines, ("model", "n_layers", "max_epochs"), strict=True):
        assert suggestion in line


def test_without_data_the_message_says_what_to_set(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["train", "asr/fastconformer_ctc", "size=tiny"]) == 2
    assert "data.train" in capsys.readouterr().err
