"""``train`` from a configuration to a run folder, and all that an experiment section asks of it."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import tarfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest
import safetensors.torch
import torch

from nemo_core.errors import ConfigError, TrainingError
from nemo_core.training import train
from nemo_core.training.csv_log import read_metrics


def checkpoint(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_run_leaves_everything_in_its_folder(recipe):
    config = recipe(experiment={"tensorboard": True, "curve": True})
    result = train(config, overrides=["optim.lr=0.01"])
    folder = result.run_dir
    assert folder == Path(config["experiment"]["dir"]) / "tiny" / "v1"
    assert (folder.parent / "latest").resolve() == folder.resolve()
    expected = {"config.yaml", "overrides.txt", "environment.json", "run.json", "result.json", "train.log"}
    expected |= {"metrics.csv", "metrics.json", "curve.png", "tensorboard", "checkpoints", "model.nemo"}
    assert expected <= names(folder)
    assert not [name for name in names(folder) if name.endswith(f".{os.getpid()}")], "a temporary file was left"
    assert (folder / "overrides.txt").read_text() == "optim.lr=0.01\n"
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert any(path.stat().st_size for path in (folder / "tensorboard").glob("events.*"))
    assert json.loads((folder / "metrics.json").read_text()) == result.metrics
    assert {"train_loss", "val_loss", "val_accuracy", "best_val_loss", "test_accuracy"} <= set(result.metrics)
    assert result.status == "finished"
    assert result.steps == 20
    assert result.archive == folder / "model.nemo"
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__


def archived(path: Path) -> dict[str, torch.Tensor]:
    with tarfile.open(path) as tar:
        member = tar.extractfile("model_weights.safetensors")
        assert member is not None
        return safetensors.torch.load(member.read())


def assert_equal(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


def test_the_archive_holds_the_best_weights_or_the_last(recipe):
    result = train(recipe(optim={"lr": 0.3}, trainer={"max_epochs": 4}))
    losses = [value for _, value in read_metrics(result.run_dir / "metrics.csv")["val_loss"]]
    assert losses[-1] > min(losses), "the last weights are the best: this test would see nothing"
    assert result.metrics["best_val_loss"] == pytest.approx(min(losses))
    assert_equal(archived(result.archive), checkpoint(result.best)["state_dict"])

    result = train(recipe(optim={"lr": 0.3}, trainer={"max_epochs": 4}, experiment={"weights": "last"}))
    last = checkpoint(result.run_dir / "checkpoints" / "last.ckpt")["state_dict"]
    assert_equal(archived(result.archive), last)


def test_averaged_weights_are_validated_and_archived(recipe):
    ema = {"ema": {"enable": True, "decay": 0.9}, "weights": "last"}
    result = train(recipe(experiment=ema))
    last = checkpoint(result.run_dir / "checkpoints" / "last.ckpt")
    assert_equal(archived(result.archive), last["state_dict"])
    assert not torch.equal(last["state_dict"]["encoder.0.weight"], last["current_model_state"]["encoder.0.weight"])
    plain = train(recipe())
    assert_equal(checkpoint(plain.run_dir / "checkpoints" / "last.ckpt")["state_dict"], last["current_model_state"])


def test_a_finished_run_is_not_gone_on_with(recipe):
    first, second = train(recipe()), train(recipe())
    assert [first.run_dir.name, second.run_dir.name] == ["v1", "v2"]
    assert (first.run_dir.parent / "latest").resolve() == second.run_dir.resolve()
    assert second.resumed_from is None
    assert first.metrics == second.metrics, "a run is a function of its configuration"


def test_time_limit_then_on(recipe):
    config = recipe(trainer={"max_epochs": 40}, experiment={"max_time": "0.2", "archive": False})
    first = train(config)
    assert first.status == "max_time"
    assert 0 < first.steps < 400
    config["experiment"]["max_time"] = None
    second = train(config)
    assert (second.status, second.run_dir, second.steps) == ("finished", first.run_dir, 400)
    assert second.resumed_from == first.run_dir / "checkpoints" / "last.ckpt"


def interrupted(config: dict) -> Path:
    """Run until the time limit strikes, and return the folder."""
    result = train({**config, "experiment": {**config["experiment"], "max_time": "0.3"}})
    assert result.status == "max_time"
    return result.run_dir


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "remove"])
def test_a_damaged_last_checkpoint_is_passed_over(recipe, caplog, damage):
    config = recipe(trainer={"max_epochs": 60}, experiment={"checkpoint": {"every_n_steps": 5}, "archive": False})
    folder = interrupted(config) / "checkpoints"
    last = folder / "last.ckpt"
    assert (folder / "last-previous.ckpt").exists()
    content = bytearray(last.read_bytes())
    weight = checkpoint(last)["state_dict"]["encoder.0.weight"].numpy().tobytes()
    if damage == "remove":
        last.unlink()
    else:
        content[content.index(weight) + 5] ^= 0xFF
        kept = {"truncate": content[: len(content) // 2 + 1], "flip": content, "empty": b""}[damage]
        last.unlink()  # the best checkpoint may be the same file
        last.write_bytes(kept)
    with caplog.at_level(logging.WARNING, "nemo_core"):
        result = train(config)
    assert result.status == "finished"
    assert result.resumed_from == folder / "last-previous.ckpt"
    if damage != "remove":
        assert "damaged" in caplog.text
        assert "last.ckpt" in caplog.text


def test_all_checkpoints_damaged(recipe):
    config = recipe(trainer={"max_epochs": 60})
    folder = interrupted(config) / "checkpoints"
    for path in folder.glob("last*.ckpt"):
        path.unlink()
        path.write_bytes(b"no checkpoint")
    with pytest.raises(TrainingError, match=r"none of the checkpoints .* last\.ckpt") as caught:
        train(config)
    assert "experiment.resume=never" in (caught.value.hint or "")


def test_a_checkpoint_with_code_in_it_is_not_run(recipe, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(TrainingError, match="cannot be read"):
        train(recipe(experiment={"resume": str(tmp_path / "evil.ckpt")}))
    assert not (tmp_path / "pwned").exists()


def test_another_configuration_is_another_run(recipe):
    folder = interrupted(recipe(trainer={"max_epochs": 60}))
    result = train(recipe(optim={"lr": 0.02}))
    assert result.run_dir.name == "v2"
    assert folder.name == "v1"
    assert train(recipe(trainer={"max_epochs": 60})).run_dir == folder


def test_resume_never_and_resume_from_a_path(recipe):
    config = recipe(trainer={"max_epochs": 30}, experiment={"archive": False})
    folder = interrupted(config)
    anew = train({**config, "experiment": {**config["experiment"], "resume": "never"}})
    assert (anew.run_dir.name, anew.resumed_from, anew.steps) == ("v2", None, 300)
    for source in (folder, folder / "checkpoints" / "last.ckpt"):
        other = train(recipe(trainer={"max_epochs": 30}, experiment={"archive": False, "resume": str(source)}))
        assert other.run_dir not in (folder, anew.run_dir)
        assert other.resumed_from == folder / "checkpoints" / "last.ckpt"
        assert_equal(checkpoint(other.run_dir / "checkpoints" / "last.ckpt")["state_dict"], _last(anew.run_dir))


def _last(folder: Path) -> dict:
    return checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]


def test_a_run_that_another_process_is_busy_with_is_left_alone(recipe):
    folder = interrupted(recipe(trainer={"max_epochs": 30}))
    hold = "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX); print(); input()"
    command = [sys.executable, "-c", hold, str(folder / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert train(recipe(trainer={"max_epochs": 30})).run_dir != folder
        other.kill()
    assert train(recipe(trainer={"max_epochs": 30})).run_dir == folder


def test_nan_stops_and_names_the_batch(recipe):
    config = recipe(data={"poison": 17, "shuffle": False})
    with pytest.raises(TrainingError, match=r"step 5 \(epoch 0, batch 4\): loss nan") as caught:
        train(config)
    assert "experiment.nan=skip" in (caught.value.hint or "")
    folder = Path(config["experiment"]["dir"]) / "tiny" / "v1"
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"


def test_nan_skips_the_step(recipe):
    # Without the batch norm, whose statistics a bad batch would spoil before any gradient is looked at.
    config = recipe(data={"poison": 17, "shuffle": False}, model={"norm": False}, experiment={"nan": "skip"})
    result = train(config)
    assert all(torch.isfinite(weight).all() for weight in archived(result.archive).values())
    log = (result.run_dir / "train.log").read_text()
    assert log.count("skipped step") == 2
    assert "encoder" in log


def test_too_many_skipped_steps_are_an_error(recipe):
    skip = {"nan": "skip", "max_skipped_steps": 2}
    config = recipe(data={"poison": 0, "batch_size": 40}, experiment=skip, trainer={"max_epochs": 9})
    with pytest.raises(TrainingError, match="3 steps in a row"):
        train(config)


def test_early_stopping(recipe):
    early = {"enable": True, "patience": 2, "min_delta": 100.0}
    assert train(recipe(trainer={"max_epochs": 50}, experiment={"early_stopping": early})).steps == 30


def test_a_monitor_that_is_not_logged(recipe):
    with pytest.raises(TrainingError, match=r"val_wer.*it logged .*val_loss"):
        train(recipe(experiment={"monitor": "val_wer"}))


def test_the_best_are_kept_by_the_monitor(recipe):
    keep = {"monitor": "val_accuracy", "mode": "max", "checkpoint": {"keep_best": 2}}
    result = train(recipe(trainer={"max_epochs": 6}, experiment=keep))
    values = [value for _, value in read_metrics(result.run_dir / "metrics.csv")["val_accuracy"]]
    best = sorted((result.run_dir / "checkpoints").glob("best-*.ckpt"))
    assert len(best) == 2
    assert result.metrics["best_val_accuracy"] == pytest.approx(max(values))
    assert f"val_accuracy={max(values):.4f}" in result.best.name


def test_steps_accumulation_and_max_steps(recipe):
    assert train(recipe(trainer={"accumulate_grad_batches": 4})).steps == 2 * 3  # 10 batches: 4, 4 and 2
    limited = train(recipe(trainer={"max_epochs": None, "max_steps": 13}, data={"batch_size": 8}))
    assert limited.steps == 13


def test_gradient_clipping_bounds_the_step(recipe):
    # One step of plain SGD moves the weights by lr times the clipped norm, and no more.
    config = recipe(optim={"name": "sgd", "lr": 1.0}, trainer={"max_steps": 1, "gradient_clip_val": 0.01})
    after = _last(train(config).run_dir)
    config["optim"]["lr"] = 1e-30
    before = _last(train(config).run_dir)
    moved = sum((after[name] - before[name]).square().sum() for name in after if name.endswith(("weight", "bias")))
    assert moved.sqrt().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("profiler", ["simple", "advanced"])
def test_profiler(recipe, profiler):
    result = train(recipe(trainer={"profiler": profiler}))
    [report] = result.run_dir.glob("fit-profile*")
    assert "training_step" in report.read_text()


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp64", "bf16-mixed", "32"])
def test_precisions(recipe, precision):
    before = torch.get_float32_matmul_precision()
    result = train(recipe(trainer={"precision": precision, "max_epochs": 1}))
    assert result.status == "finished"
    assert torch.get_float32_matmul_precision() == before


def test_fp8_without_transformer_engine(recipe):
    pytest.importorskip("pytorch_lightning")
    with pytest.raises(ConfigError, match="Transformer Engine"):
        train(recipe(trainer={"precision": "fp8"}))


def test_callbacks_and_loggers_of_the_recipe(recipe, tmp_path):
    logger = {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": str(tmp_path / "more")}
    callback = {"_target_": "pytorch_lightning.callbacks.LambdaCallback"}
    train(recipe(trainer={"callbacks": [callback]}, experiment={"loggers": [logger]}))
    assert list((tmp_path / "more").rglob("metrics.csv"))


@pytest.mark.parametrize(
    ("name", "package", "arguments"),
    [("WandbLogger", "wandb", {"offline": True}), ("MLFlowLogger", "mlflow", {}), ("CometLogger", "comet_ml", {})],
)
def test_loggers_of_services_are_reached_or_say_what_to_install(recipe, tmp_path, name, package, arguments):
    logger = {"_target_": f"pytorch_lightning.loggers.{name}", "save_dir": str(tmp_path / "service"), **arguments}
    if name == "CometLogger":
        logger = {"_target_": logger["_target_"], "online": False}
    config = recipe(experiment={"loggers": [logger]}, trainer={"max_epochs": 1})
    if find_spec(package) is None:
        with pytest.raises(
            ConfigError, match=rf"experiment\.loggers\[0\].*{name} needs what is not installed"
        ) as caught:
            train(config)
        assert package in caught.value.message.replace("-", "_")
    else:
        assert train(config).status == "finished"


def test_the_scheduler_ends_with_the_training(recipe):
    scheduler = {"name": "CosineAnnealing", "warmup_ratio": 0.25, "min_lr": 0.001}
    trainer = {"accumulate_grad_batches": 2, "log_every_n_steps": 1}
    result = train(recipe(optim={"scheduler": scheduler}, trainer=trainer))
    rates = [rate for _, rate in read_metrics(result.run_dir / "metrics.csv")["lr"]]
    assert len(rates) == 10  # steps
    assert rates[:3] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01])  # warm-up of int(0.25 * 10) steps
    assert rates[-1] == pytest.approx(0.009 * 0.5 * (1 + math.cos(math.pi * 7 / 8)) + 0.001)


def test_plateau_watches_the_monitor(recipe):
    scheduler = {"name": "ReduceLROnPlateau", "factor": 0.1, "patience": 0, "threshold": 100.0}
    config = recipe(optim={"scheduler": scheduler}, trainer={"max_epochs": 4, "log_every_n_steps": 1})
    config["experiment"] |= {"monitor": "val_accuracy"}
    rates = [rate for _, rate in read_metrics(train(config).run_dir / "metrics.csv")["lr"]]
    assert rates[0] == 0.01
    assert rates[-1] < 0.002


def test_mistakes_are_all_told_and_nothing_is_written(recipe):
    config = recipe(trainer={"accumulate_grad_batch": 3}, optim={"name": "adamv"}, experiment={"resum": "auto"})
    with pytest.raises(ConfigError) as caught:
        train(config)
    for part in ("accumulate_grad_batches", "adamw", "resume"):
        assert part in caught.value.message
    assert not Path(config["experiment"]["dir"]).exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"trainer": {"max_epochs": None}}, "nothing says when to stop"),
        ({"trainer": {"precision": "fp7"}}, "fp7"),
        ({"trainer": {"devices": 0}}, "devices"),
        ({"trainer": {"strategy": "dpp"}}, "dpp"),
        ({"trainer": {"strategy": "fsdp2"}}, "configure_model"),
        ({"trainer": {"profiler": "fast"}}, "profiler"),
        ({"experiment": {"max_time": "soon"}}, "max_time"),
        ({"experiment": {"nan": "ignore"}}, "nan"),
        ({"experiment": {"weights": "worst"}}, "weights"),
        ({"experiment": {"version": "a/b"}}, "cannot name a folder"),
        ({"experiment": {"resume": "nowhere.ckpt"}}, "nowhere.ckpt"),
        ({"experiment": {"ema": {"enable": True, "decay": 2}}}, "decay"),
        ({"name": "../out"}, "cannot name a folder"),
        ({"model": {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}}, "no model"),
    ],
)
def test_bad_values(recipe, changes, says):
    with pytest.raises(ConfigError, match=says):
        train(recipe(**changes))


def test_a_version_of_ones_own(recipe):
    assert train(recipe(experiment={"version": "first"})).run_dir.name == "first"
    with pytest.raises(ConfigError, match="folder of another run"):
        train(recipe(experiment={"version": "first"}))


def test_an_error_in_the_model_says_where_training_was(recipe):
    config = recipe(model={"inputs": 31})
    with pytest.raises(TrainingError, match=r"failed at step 1 \(epoch 0\): RuntimeError.*shapes"):
        train(config)
    log = Path(config["experiment"]["dir"], "tiny", "v1", "train.log").read_text()
    assert "Traceback" in log
    assert "tiny_training.py" in log


def test_the_process_is_left_as_it_was(recipe):
    def state():
        loggers = [logging.getLogger(name) for name in (None, "nemo_core", "pytorch_lightning", "lightning_fabric")]
        handlers = [(each.handlers[:], each.level, each.propagate) for each in loggers]
        return handlers, warnings.filters[:], [signal.getsignal(number) for number in signals], os.getcwd()

    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    train(recipe())  # what the first import and run of Lightning do is not ours
    before, environment = state(), dict(os.environ)
    train(recipe())
    with pytest.raises(TrainingError):
        train(recipe(model={"inputs": 31}))
    assert state() == before
    assert dict(os.environ) == environment


def test_weights_to_begin_with(recipe, tmp_path):
    first = train(recipe())
    config = recipe(optim={"name": "sgd", "lr": 1e-30}, model={"dropout": 0.0}, data={"train_size": 4})
    config["init_from"] = {"path": str(first.run_dir / "checkpoints" / "last.ckpt"), "exclude": ["decoder"]}
    second = train(config)
    one, other = _last(first.run_dir), _last(second.run_dir)
    assert torch.equal(one["encoder.0.weight"], other["encoder.0.weight"])
    assert not torch.equal(one["decoder.1.weight"], other["decoder.1.weight"])
