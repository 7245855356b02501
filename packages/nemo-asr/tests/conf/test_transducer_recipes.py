"""The recipes of ContextNet, Conformer and FastConformer with transducers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from nemo_asr.models import HybridModel, TransducerModel, restore
from nemo_core.cli.main import run
from nemo_core.config import Trust, compose, find_recipe, instantiate
from nemo_core.models import Model

RECIPES = {
    "asr/contextnet": TransducerModel,
    "asr/conformer_transducer": TransducerModel,
    "asr/fastconformer_transducer": TransducerModel,
    "asr/fastconformer_hybrid_tdt_ctc": HybridModel,
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """Spoken digit strings at 8 kHz."""
    folder = tmp_path_factory.mktemp("digits")
    assert run(["asr", "digits", "--split", "test", "--n", "12", "-o", str(folder / "audio")]) == 0
    return folder / "audio" / "manifest.jsonl"


def table_of(recipe):
    return re.findall(r"^# \| (\w+) +\|.*\| +([\d.]+) M \|$", find_recipe(recipe).path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if "hybrid" not in recipe])
def test_every_size_has_the_weights_that_the_table_says(recipe):
    config = compose(recipe)
    table = table_of(recipe)
    assert [name for name, _ in table] == list(config.sizes)
    for name, millions in table:
        with torch.device("meta"):
            encoder = instantiate(compose(recipe, [f"size={name}"]).model.encoder, trust=Trust.user())
        assert f"{encoder.num_weights / 1e6:.2f}" == millions


def test_the_hybrid_has_the_sizes_of_the_transducer():
    hybrid, transducer = "asr/fastconformer_hybrid_tdt_ctc", "asr/fastconformer_transducer"
    assert table_of(hybrid) == table_of(transducer) != []
    assert compose(hybrid).sizes == compose(transducer).sizes
    assert compose(hybrid).model.encoder == compose(transducer).model.encoder


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_tiny_size_trains_on_manifests(recipe, manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [
        *("size=tiny", f"data.train={manifest}", f"data.validation={manifest}", "tokenizer.vocab_size=30"),
        *("data.sample_rate=8000", "data.num_workers=0", "data.buckets=1", "data.batch_size=6"),
        *("trainer.max_epochs=1", "optim.scheduler.warmup_steps=1"),
    ]
    assert run(["train", recipe, *options]) == 0
    (archive,) = Path("runs").glob("*/v1/model.nemo")
    metrics = json.loads((archive.parent / "metrics.json").read_text())
    assert 0 < metrics["val_loss"] < float("inf")
    model = restore(archive)
    assert isinstance(model, RECIPES[recipe])
    assert model.fused
    assert len(model.tokenizer) == 30
    assert len(model.transcribe(manifest)) == 12


def test_a_trained_model_is_the_start_of_one_with_another_vocabulary(manifest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = compose("asr/fastconformer_transducer", ["size=tiny", f"data.train={manifest}", "tokenizer.vocab_size=30"])
    Model.from_config(config.model, trust=Trust.user()).save("base.nemo")
    options = [
        *("size=tiny", f"data.train={manifest}", f"data.validation={manifest}", "tokenizer.vocab_size=25"),
        *("data.sample_rate=16000", "data.num_workers=0", "init_from=base.nemo"),
        *("trainer.max_epochs=1", "trainer.limit_train_batches=1", "optim.lr=0.0", "optim.scheduler.min_lr=0.0"),
    ]
    assert run(["train", "asr/fastconformer_transducer", *options]) == 0
    (archive,) = Path("runs").glob("*/v1/model.nemo")
    model, base = restore(archive), restore("base.nemo")
    assert (model.joint.num_outputs, base.joint.num_outputs) == (26, 31)
    torch.testing.assert_close(model.encoder.pre_encode.out.weight, base.encoder.pre_encode.out.weight)
    torch.testing.assert_close(model.joint.enc.weight, base.joint.enc.weight)
    assert model.predictor.prediction["embed"].weight.shape == (26, 96)
