"""The recipe of attention encoder-decoders with prompts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch

from nemo_asr.models import MultitaskModel, restore
from nemo_core.cli.main import run
from nemo_core.config import Trust, compose, find_recipe, instantiate

RECIPE = "asr/canary_aed"


def test_every_size_has_the_weights_that_the_table_says():
    config = compose(RECIPE)
    table = re.findall(r"^# \| (\w+) +\|.*\| +([\d.]+) M \|$", find_recipe(RECIPE).path.read_text(), re.MULTILINE)
    assert [name for name, _ in table] == list(config.sizes)
    for name, millions in table:
        node = compose(RECIPE, [f"size={name}"]).model
        with torch.device("meta"):
            parts = [instantiate(part, trust=Trust.user()) for part in (node.encoder, node.decoder)]
        assert f"{sum(part.num_weights for part in parts) / 1e6:.2f}" == millions


def test_the_tiny_size_trains_on_manifests_with_prompts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["asr", "digits", "--split", "test", "--n", "16", "-o", "digits"]) == 0
    manifest = Path("digits/manifest.jsonl")
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    told = [{"source_lang": "en", "target_lang": "en", "task": "transcribe", "pnc": pnc} for pnc in ("yes", "no")]
    for line, prompt in zip(lines, told * 8, strict=True):
        line.update(prompt)
        line["text"] = line["text"].capitalize() + "." if prompt["pnc"] == "yes" else line["text"]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = [
        *("size=tiny", f"data.train={manifest}", f"data.validation={manifest}", "data.sample_rate=8000"),
        *("tokenizer.tokenizers.en.vocab_size=40", "model.decoder.vocab_size=64", "model.max_generation_delta=0"),
        *("data.num_workers=0", "data.buckets=2", "trainer.max_epochs=2", "optim.scheduler.warmup_steps=2"),
    ]
    assert run(["train", RECIPE, *options]) == 0
    (archive,) = Path("runs").glob("*/v1/model.nemo")
    metrics = json.loads((archive.parent / "metrics.json").read_text())
    assert 0 < metrics["val_loss"] < float("inf")
    model = restore(archive)
    assert isinstance(model, MultitaskModel)
    assert len(model.tokenizer.tokenizers["en"]) == 40
    assert [each.error for each in model.transcribe(manifest)] == [None] * 16
