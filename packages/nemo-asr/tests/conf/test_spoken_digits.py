from __future__ import annotations

import csv
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from nemo_asr.models import CTCModel, restore
from nemo_core.cli.main import run
from nemo_core.config import Trust, compose, instantiate, list_recipes

TINY = [
    "data.train.size=96",
    "data.train.max_digits=2",
    "data.validation.size=8",
    "data.test.size=8",
    "data.buckets=2",
    "model.encoder.jasper=[{filters: 16, kernel: 11, stride: 2, residual: false}, {filters: 16, kernel: 5}]",
    "model.decoder.feat_in=16",
    "trainer.max_epochs=2",
    "optim.lr=0.01",  # the rate of the recipe is for a thousand steps of a larger model
]


def nemo(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "nemo_core.cli.main", *arguments], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder in which the recipe was trained, small, from the command line."""
    folder = tmp_path_factory.mktemp("train")
    nemo("train", "asr/spoken_digits", *TINY, folder=folder)
    return folder


def test_the_recipe_is_listed():
    (recipe,) = [recipe for recipe in list_recipes() if recipe.name == "asr/spoken_digits"]
    assert recipe.summary
    assert set(recipe.metadata) == {"data", "size", "hardware"}


def test_the_recipe_builds_what_it_says():
    config = compose("asr/spoken_digits")
    model = instantiate(config.model, trust=Trust.user())
    data = instantiate(config.data, trust=Trust.user())
    assert isinstance(model, CTCModel)
    assert model.sample_rate == data.sample_rate == data.dataset("train").sample_rate == 8000
    assert f"{model.num_weights / 1e6:.2f} M" in config.recipe.size
    for split in ("train", "validation", "test"):
        text = data.dataset(split)[0].text
        assert model.tokenizer.decode(model.tokenizer.encode(text)) == text
    # The alphabet has what the digits need, and nothing else.
    assert set(model.tokenizer.vocabulary) == set("zero one two three four five six seven eight nine")
    # Strings are long enough for their letters: no training loss is zeroed for being impossible.
    batch = next(iter(data.train_dataloader()))
    _, frames = model(batch.audio, batch.length)
    for text, count in zip(batch.texts, frames.tolist(), strict=True):
        repeats = sum(a == b for a, b in pairwise(text))
        assert count >= len(text) + repeats


def test_training_leaves_a_run_folder_that_learned_something(trained):
    run_dir = trained / "runs" / "spoken_digits" / "latest"
    for name in ("model.nemo", "config.yaml", "metrics.json", "curve.png", "train.log"):
        assert (run_dir / name).stat().st_size > 0
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert {"val_loss", "val_wer", "val_cer", "test_loss", "test_wer", "test_cer"} <= metrics.keys()
    assert list((run_dir / "tensorboard").glob("events*"))
    with (run_dir / "metrics.csv").open() as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file) if row.get("val_loss")]
    assert len(losses) >= 2
    assert losses[-1] < losses[0]


def test_the_archive_is_restored_and_transcribes_held_out_strings(trained):
    archive = "runs/spoken_digits/latest/model.nemo"
    nemo("asr", "digits", "--split", "test", "--n", "4", "-o", "held_out", folder=trained)
    out = nemo("transcribe", archive, "held_out/manifest.jsonl", "--json", folder=trained)
    result = json.loads(out)
    assert len(result["transcripts"]) == 4
    assert all("text" in each and "pred_text" in each for each in result["transcripts"])
    assert result["wer"] > 0
    model = restore(trained / archive)
    heard = [h.text for h in model.transcribe(str(trained / "held_out" / "*.wav"))]
    assert heard == [each["pred_text"] for each in result["transcripts"]]
    weights = torch.nn.utils.parameters_to_vector(model.parameters())
    assert torch.isfinite(weights).all()


def test_misspelt_keys_are_all_told_at_once(capsys):
    assert run(["train", "asr/spoken_digits", "modl.encoder=1", "trainer.max_epoch=3", "data.batchsize=2"]) == 2
    err = capsys.readouterr().err
    for suggestion in ("model", "max_epochs", "batch_size"):
        assert suggestion in err
