"""``nemo train`` and ``torchrun -m nemo_core.train`` as people run them: real processes, real terminals' rules."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent / "support"
RECIPE = """
defaults: [/nemo/base, _self_]
name: tiny
trust: [tiny_training]
model: {_target_: tiny_training.Tiny, width: 8}
data: {_target_: tiny_training.WavesData, batch_size: 4, train_size: 24}
optim: {name: adamw, lr: 0.01}
trainer: {max_epochs: 2, accelerator: cpu}
experiment: {tensorboard: false, curve: false}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    return tmp_path


def environment(**further: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **further}


def run(folder: Path, *command: str, **further: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment(**further), capture_output=True, text=True, timeout=240, check=False
    )


NEMO = (sys.executable, "-m", "nemo_core.cli.main")


def test_train_prints_the_folder_the_metrics_and_the_archive(folder):
    done = run(folder, *NEMO, "train", "tiny.yaml", "optim.lr=0.02")
    assert done.returncode == 0, done.stderr
    for part in ("runs/tiny/v1", "val_accuracy", "test_accuracy", "steps", "runs/tiny/v1/model.nemo"):
        assert part in done.stdout
    assert "epoch 2/2" in done.stderr  # plain lines: this is no terminal
    assert re.search(r"^Tiny: [\d,]+ weights \(", done.stderr, re.MULTILINE)
    assert "FLOPs" not in done.stdout + done.stderr  # no table of Lightning's
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    assert (folder / "runs/tiny/latest/model.nemo").exists()
    assert (folder / "runs/tiny/v1/overrides.txt").read_text() == "optim.lr=0.02\n"


def test_all_mistakes_at_once_and_before_torch_is_loaded(folder):
    code = "import sys; from nemo_core.cli.main import main\ntry: main()\nexcept SystemExit as e: "
    code += "print('torch' in sys.modules, e.code)"
    done = run(folder, sys.executable, "-c", code, "train", "tiny.yaml", "modl.width=3", "optim.name=adamv", "seed=x")
    assert done.stdout.split() == ["False", "2"]
    for part in ("did you mean model?", "adamw", "seed"):
        assert part in done.stderr
    assert not (folder / "runs").exists()


def test_cfg_job_and_dry_run_train_nothing(folder):
    shown = run(folder, *NEMO, "train", "tiny.yaml", "--cfg", "job", "model.width=5")
    assert shown.returncode == 0, shown.stderr
    assert "width: 5" in shown.stdout
    assert "resume: auto" in shown.stdout
    dry = run(folder, *NEMO, "train", "tiny.yaml", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert re.search(r"parameters +316", dry.stdout)  # 32 * 8 + 8, two of 8, 8 * 4 + 4
    assert "(4, 32)" in dry.stdout
    assert not (folder / "runs").exists()


def test_help_has_an_example(folder):
    shown = run(folder, *NEMO, "train", "--help")
    assert "nemo train asr/spoken_digits" in shown.stdout
    assert "--multirun" in shown.stdout


def test_a_failure_is_one_line_with_exit_code_1_and_debug_shows_the_traceback(folder):
    arguments = ("train", "tiny.yaml", "model.inputs=31")
    done = run(folder, *NEMO, *arguments)
    assert done.returncode == 1
    assert re.search(r"^error: training failed at step 1", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr
    debug = run(folder, *NEMO, "--debug", *arguments)
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 0), ("SIGINT", 130)])
def test_a_signal_saves_and_the_same_command_goes_on(folder, name, code):
    command = (*NEMO, "train", "tiny.yaml", "trainer.max_epochs=5")
    process = subprocess.Popen(
        command, cwd=folder, env=environment(TINY_SLEEP="0.1"), stderr=subprocess.PIPE, text=True
    )
    metrics = folder / "runs/tiny/v1/metrics.csv"
    for _ in range(1200):
        if metrics.exists():
            break
        time.sleep(0.1)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    done = run(folder, *command)
    assert done.returncode == 0, done.stderr
    assert "going on in runs/tiny/v1 from last.ckpt" in done.stderr
    assert json.loads((folder / "runs/tiny/v1/result.json").read_text())["steps"] == 30


def test_torchrun(folder):
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    done = run(folder, *launch, "-m", "nemo_core.train", "tiny.yaml", "optim.lr=0.02")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("runs/tiny/v1/model.nemo") == 1  # one process speaks
    assert json.loads((folder / "runs/tiny/v1/result.json").read_text())["steps"] == 2 * 3  # 24 items, 2 x 4 a step
    assert (folder / "runs/tiny/v1/train.rank1.log").exists()


def test_nproc_starts_the_processes_itself(folder):
    done = run(folder, *NEMO, "train", "tiny.yaml", "--nproc", "2")
    assert done.returncode == 0, done.stderr
    assert "test_accuracy" in done.stdout
    assert json.loads((folder / "runs/tiny/v1/result.json").read_text())["steps"] == 6
    failed = run(folder, *NEMO, "train", "tiny.yaml", "--nproc", "2", "model.inputs=31")
    assert failed.returncode == 1
    assert failed.stderr.count("training failed at step 1") == 1
    assert "Traceback" not in failed.stderr


def test_a_recipe_is_needed(folder):
    done = run(folder, sys.executable, "-m", "nemo_core.train")
    assert done.returncode == 2
    assert "no recipe is given" in done.stderr
    done = run(folder, sys.executable, "-m", "nemo_core.train", "tiny.yaml", "trainer.max_epoch=1")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
