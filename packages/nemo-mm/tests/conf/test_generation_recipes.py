"""The recipes of image generation train, sample and are judged from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nemo_core.cli.main import run


def test_digits_are_made_and_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["trainer.max_steps=2", "data.batch_size=8", f"experiment.dir={tmp_path}/runs"]
    few = ["data.train.limit=32", "data.test.limit=16"]
    assert run(["train", "mm/dit_digits", *quick, *few, "model.network.depth=1"]) == 0
    assert run(["train", "mm/digit_judge", *quick, *few]) == 0
    capsys.readouterr()
    made, judge = (str(tmp_path / "runs" / name / "latest") for name in ("dit_digits", "digit_judge"))
    grid = tmp_path / "grid.png"
    assert run(["mm", "sample", made, "--class", "7", "--n", "2", "--steps", "1", "-o", str(grid)]) == 0
    assert grid.stat().st_size > 100
    capsys.readouterr()
    assert run(["mm", "fidelity", made, "--judge", judge, "--per-class", "1", "--steps", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["samples"] == 10
    assert said["frechet"] > said["frechet_floor"] > 0
