"""Training through Lightning on Megatron-core: resuming, refusing, failing."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from nemo_core.errors import ConfigError, TrainingError
from nemo_core.training import train

Small = Callable[..., dict[str, Any]]
SUPPORT = Path(__file__).parent / "support"


def losses(run: Path, key: str = "train_loss") -> list[float]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [float(row[key]) for row in csv.DictReader(file) if row.get(key)]


def test_a_training_learns_logs_and_writes(small: Small) -> None:
    result = train(small(experiment={"archive": True}))
    assert result.steps == 8
    assert len(losses(result.run_dir)) == 8
    assert result.metrics["val_loss"] > 0
    assert losses(result.run_dir, "tokens_per_second")
    assert losses(result.run_dir, "grad_norm")
    assert result.archive == result.run_dir / "model.dist"
    assert (
        json.loads((result.archive / "manifest.json").read_text(encoding="utf-8"))["architecture"]["vocab_size"] == 31
    )
    assert (result.run_dir / "checkpoints" / "last.ckpt" / "manifest.json").is_file()


def test_a_resumed_run_goes_on_as_if_it_had_never_stopped(small: Small, tmp_path: Path) -> None:
    whole = train(small())
    config = small(
        trainer={"callbacks": [{"_target_": "nemo_core.testing.Preempted", "step": 3, "note": str(tmp_path / "note")}]},
        experiment={"dir": str(tmp_path / "parts")},
    )
    first = train(config)
    assert (first.status, first.steps) == ("preempted", 3)
    resumed = train(config)
    assert resumed.run_dir == first.run_dir
    assert losses(resumed.run_dir) == losses(whole.run_dir)
    assert resumed.metrics["val_loss"] == whole.metrics["val_loss"]


def test_weights_do_not_depend_on_how_a_batch_is_divided(small: Small) -> None:
    still = {"architecture": {"dropout": 0.0}}
    data = {"_target_": "faulty_parts.OddData"}
    whole = train(small(model=still, data=data))
    parts = train(small(model=still, data=data, trainer={"strategy": {"micro_batch_size": 1}}))
    assert losses(parts.run_dir) == pytest.approx(losses(whole.run_dir), rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trainer": {"accumulate_grad_batches": 2}}, "accumulate_grad_batches"),
        ({"trainer": {"gradient_clip_algorithm": "value"}}, "clips by norm only"),
        ({"experiment": {"ema": {"enable": True}}}, "experiment.ema"),
        ({"optim": {"name": "novograd"}}, "no optimizer 'novograd'"),
        ({"optim": {"amsgrad": True}}, "optim.amsgrad is not an argument"),
        ({"trainer": {"precision": "bf16-true"}}, "does not train in bf16-true"),
        ({"trainer": {"strategy": {"sharding": "megatron_fsdp"}}}, "needs a GPU"),
        ({"trainer": {"strategy": {"sharding": "optimiser"}}}, "sharding"),
        ({"trainer": {"strategy": {"recompute": 0}}}, "recompute"),
        ({"trainer": {"strategy": {"engine": {"fp9": True}}}}, "strategy.engine.fp9"),
        ({"trainer": {"strategy": {"tensor_parallel": 2}}}, "1 processes cannot be divided into models of 2"),
        ({"trainer": {"strategy": "ddp"}}, "trained with"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], told: str, small: Small) -> None:
    with pytest.raises((ConfigError, TrainingError), match=told):
        train(small(**changes))


def test_a_gradient_that_is_not_finite_stops_or_is_skipped(small: Small) -> None:
    poison = {"callbacks": [{"_target_": "faulty_parts.Poison", "step": 1}]}
    with pytest.raises(TrainingError, match="step 2"):
        train(small(trainer=poison))
    result = train(small(trainer=poison, experiment={"nan": "skip"}))
    assert result.steps == 8
    assert result.metrics["val_loss"] == result.metrics["val_loss"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits(precision: str, small: Small) -> None:
    result = train(small(trainer={"precision": precision, "strategy": {"fp16_loss_scale": 64.0}}))
    assert result.metrics["val_loss"] < 5


# ---------------------------------------------------------------------------------------------------- several processes


def launch(config: dict[str, Any], tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump({"defaults": ["/nemo/base", "_self_"], **config}), encoding="utf-8")
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SUPPORT)}
    command = [sys.executable, "-m", "nemo_core.cli.main", "train", str(recipe), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=240)


def test_another_layout_reads_the_checkpoint(small: Small, tmp_path: Path) -> None:
    config = small(model={"architecture": {"dropout": 0.0}})
    whole = train(config)
    stop = {"_target_": "nemo_core.testing.Preempted", "step": 3, "note": str(tmp_path / "note")}
    first = train(
        small(
            model={"architecture": {"dropout": 0.0}}, trainer={"callbacks": [stop]}, experiment={"version": "stopped"}
        )
    )
    done = launch(
        config,
        tmp_path,
        *("--nproc", "2", "trainer.strategy.tensor_parallel=2", "experiment.version=b"),
        f"experiment.resume={first.run_dir / 'checkpoints' / 'last.ckpt'}",
    )
    assert done.returncode == 0, done.stderr
    run = Path(config["experiment"]["dir"]) / "small" / "b"
    assert losses(run) == pytest.approx(losses(whole.run_dir)[3:], rel=1e-4)


def test_one_rank_that_fails_takes_the_job_down_with_its_error(small: Small, tmp_path: Path) -> None:
    config = small(trainer={"callbacks": [{"_target_": "faulty_parts.FailsOnOneRank", "rank": 1}]})
    done = launch(config, tmp_path, "--nproc", "2", "trainer.strategy.tensor_parallel=2")
    assert done.returncode == 1
    assert "the memory of this rank has gone" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_impossible_layout_is_refused_before_any_process_starts(small: Small, tmp_path: Path) -> None:
    done = launch(small(), tmp_path, "--nproc", "3", "trainer.strategy.tensor_parallel=3")
    assert done.returncode == 2
    assert "num_heads 2 cannot be divided by tensor 3" in done.stderr
    assert not Path(small()["experiment"]["dir"]).exists()
