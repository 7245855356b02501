"""The recipes of QuartzNet, Citrinet and Squeezeformer with CTC."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from nemo_asr.models import CTCModel, restore
from nemo_core.cli.main import run
from nemo_core.config import Trust, compose, find_recipe, instantiate

RECIPES = {
    "asr/quartznet_15x5": [],
    "asr/citrinet": ["tokenizer.vocab_size=22"],
    "asr/squeezeformer_ctc": ["tokenizer.vocab_size=30"],
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """Spoken digit strings at 8 kHz."""
    folder = tmp_path_factory.mktemp("digits")
    assert run(["asr", "digits", "--split", "test", "--n", "16", "-o", str(folder / "audio")]) == 0
    return folder / "audio" / "manifest.jsonl"


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_size_has_the_weights_that_the_table_says(recipe):
    table = re.findall(r"^# \| (\w+) +\|.*\| +([\d.]+) M \|$", find_recipe(recipe).path.read_text(), re.MULTILINE)
    assert [name for name, _ in table] == list(compose(recipe).sizes)
    for name, millions in table:
        with torch.device("meta"):
            encoder = instantiate(compose(recipe, [f"size={name}"]).model.encoder, trust=Trust.user())
        assert f"{encoder.num_weights / 1e6:.2f}" == millions


@pytest.mark.parametrize(("recipe", "options"), RECIPES.items())
def test_the_tiny_size_trains_on_manifests(recipe, options, manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [
        *("size=tiny", f"data.train={manifest}", f"data.validation={manifest}", *options),
        *("data.sample_rate=8000", "data.num_workers=0", "data.buckets=2", "data.batch_size=8"),
        *("trainer.max_epochs=1", "optim.scheduler.warmup_steps=1"),
    ]
    if "squeezeformer" in recipe:
        options.append("optim.scheduler.hold_steps=1")
    assert run(["train", recipe, *options]) == 0
    (archive,) = Path("runs").glob("*/v1/model.nemo")
    metrics = json.loads((archive.parent / "metrics.json").read_text())
    assert 0 < metrics["val_loss"] < float("inf")
    model = restore(archive)
    assert isinstance(model, CTCModel)
    assert len(model.transcribe(manifest)) == 16
