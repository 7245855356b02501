"""What people type: a model trained on scenes, asked, taken to transformers and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nemo_core.cli.main import run
from nemo_mm.data.scene_questions import words

NLVR = Path(__file__).parents[4].parent / "shared" / "data" / "nlvr-1300"
SMALL = ["trainer.max_steps=2", "trainer.val_check_interval=2", "trainer.limit_val_batches=1", "data.questions=4",
         "data.global_batch_size=4", "data.eval_questions=1", "model.architecture.vision.layers=1",
         "model.architecture.language.num_layers=1", "model.architecture.vision.patch_size=24",
         "model.architecture.merge=1", "experiment.tensorboard=false"]  # fmt: skip


@pytest.mark.skipif(not NLVR.is_dir(), reason="NLVR's pictures are not here")
def test_train_and_ask(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", "mm/vlm_scenes", f"data.folder={NLVR}", *SMALL]) == 0
    folder = tmp_path / "runs" / "vlm_scenes" / "latest"
    rows = (folder / "metrics.csv").read_text()
    assert "test_exact_count_in_a_box" in rows
    assert "test_majority" in rows
    picture = next((NLVR / "images").iterdir())
    capsys.readouterr()
    assert run(["mm", "ask", str(folder), str(picture), "How many yellow squares?", "--max-tokens", "1"]) == 0
    assert capsys.readouterr().out.strip() in {*words(), ""}
    assert run(["mm", "ask", str(folder), str(picture), "How many?", "--max-tokens", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["question"] == "How many?"
    assert run(["mm", "ask", str(folder), str(picture)]) == 2
    assert "the last argument is the question" in capsys.readouterr().err


def test_what_is_missing_is_said(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["train", "mm/vlm_scenes"]) == 2
    assert "data.folder" in capsys.readouterr().err
    assert run(["mm", "ask", str(tmp_path / "nowhere"), "a.png", "What?"]) == 2
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    assert run(["mm", "import", "hf", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "model_type is t5" in capsys.readouterr().err
