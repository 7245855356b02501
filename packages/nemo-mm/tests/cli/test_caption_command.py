"""What people type: a model trained on captioned pictures, and asked for captions; damaged pictures on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nemo_core.cli.main import run
from nemo_mm.data.caption_chat import CaptionParts

COCO = Path(__file__).parents[4].parent / "shared" / "data" / "coco-cc-captions"
SMALL = ["trainer.max_steps=2", "trainer.val_check_interval=1", "data.global_batch_size=3", "held_out=2",
         "model.architecture.vision.layers=1", "model.architecture.language.num_layers=1",
         "model.architecture.vision.patch_size=32", "model.architecture.merge=1",
         "data.eval_global_batch_size=2", "experiment.tensorboard=false"]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixteen pictures with captions; one of those to train on is damaged."""
    lines = []
    for number in range(16):
        Image.fromarray(np.full((20, 30, 3), 15 * number, np.uint8)).save(tmp_path / f"{number}.png")
        lines.append({"image": f"{number}.png", "captions": [f"grey of {number}", f"a grey {number}"]})
    file = tmp_path / "captions.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    bad = Path(CaptionParts(tmp_path, "train", 2)[0].first)
    bad.write_bytes(bad.read_bytes()[:60])
    bad.rename(tmp_path / "bad.png")
    file.write_text(file.read_text().replace(f'"{bad.name}', '"bad.png', 1))
    return tmp_path


def test_train_and_describe(folder: Path, tmp_path: Path, capsys: Any) -> None:
    command = ["train", "mm/vlm_captions", f"folder={folder}", *SMALL, f"experiment.dir={tmp_path}/runs"]
    assert run(command) == 2
    said = capsys.readouterr().err
    assert "bad.png" in said
    assert "captions.jsonl, line" in said
    assert "Traceback" not in said
    skipping = [*command, "data.on_bad_record=skip", "data.num_workers=1", "name=skipping"]
    assert run(skipping) == 0
    latest = tmp_path / "runs" / "skipping" / "latest"
    rows = (latest / "metrics.csv").read_text()
    for name in ("test_cider", "test_cider_same", "test_cider_people", "train_cider", "skipped_rows"):
        assert name in rows
    capsys.readouterr()

    out = tmp_path / "out.jsonl"
    options = ["--max-tokens", "3"]
    assert run(["mm", "caption", str(latest), str(folder / "captions.jsonl"), *options, "-o", str(out)]) == 1
    printed = capsys.readouterr()
    assert "15 described, 1 failed: CIDEr-D" in printed.out
    assert "bad.png" in printed.err
    kept = [json.loads(line) for line in out.read_text().splitlines()]
    assert sum("error" in each for each in kept) == 1
    good = [each for each in kept if "error" not in each]
    assert len(good[0]["references"]) == 2
    assert run(["mm", "caption", str(latest), *(each["image"] for each in good[:2]), *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["caption"] for each in found["captions"]] == [each["caption"] for each in good[:2]]
    assert "cider" not in found
    assert run(["mm", "caption", str(latest), str(folder / "captions.jsonl"), "-o", str(out)]) == 2
    assert run(["mm", "caption", str(latest), str(folder / "*.tiff")]) == 2


def test_what_is_missing_is_said(tmp_path: Path, capsys: Any) -> None:
    assert run(["train", "mm/vlm_captions"]) == 2
    assert "folder=PATH" in capsys.readouterr().err
    (tmp_path / "captions.jsonl").write_text("")
    assert run(["train", "mm/vlm_captions", f"folder={tmp_path}"]) == 2
    assert "captions.jsonl: no records" in capsys.readouterr().err


@pytest.mark.skipif(not COCO.is_dir(), reason="COCO's pictures are not here")
def test_photographs_of_coco(tmp_path: Path, capsys: Any) -> None:
    settings = [each for each in SMALL if not each.startswith("held_out")]
    assert run(["train", "mm/vlm_captions", f"folder={COCO}", *settings, f"experiment.dir={tmp_path}"]) == 0
    assert "test_cider" in (tmp_path / "vlm_captions" / "latest" / "metrics.csv").read_text()
