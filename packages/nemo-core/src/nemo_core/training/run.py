"""``train``: from a configuration to a run folder with the trained model."""

from __future__ import annotations

import json
import logging
import os
import random
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.tensor import DTensor

from nemo_core._files import write_atomically
from nemo_core.config import Trust, instantiate, section, trust_of, validate
from nemo_core.config.build import plain
from nemo_core.config.problems import raise_problems
from nemo_core.config.schema import ExperimentConfig, TrainerConfig
from nemo_core.data import DataModule
from nemo_core.errors import ConfigError, NemoError, TrainingError
from nemo_core.models import Model, init_from
from nemo_core.training.building import Built, build_trainer
from nemo_core.training.callbacks.interruption import Interrupted
from nemo_core.training.checkpoint_folder import is_folder_checkpoint
from nemo_core.training.checkpoint_io import AtomicCheckpointIO, check_checkpoint, newest_valid
from nemo_core.training.distributed import World, join_world, local_processes, spawn
from nemo_core.training.model_summary import describe_model
from nemo_core.training.optimization import attach_optimizer
from nemo_core.training.precision import matmul_precision
from nemo_core.training.result import RunResult
from nemo_core.training.run_folder import RunFolder
from nemo_core.training.run_log import run_log
from nemo_core.training.strategies import build_strategy

__all__ = ["build", "train"]

logger = logging.getLogger(__name__)


def train(config: DictConfig | Mapping[str, Any], *, overrides: Sequence[str] = (), checked: bool = False) -> RunResult:
    """Train what a configuration describes: build model and data, fit, test, and write the archive.

    Where ``trainer.devices`` asks for several processes and no launcher (torchrun, Slurm) has started them, they are
    started here; this process then only waits.

    Args:
        config: As :func:`nemo_core.config.compose` returns it. A mapping is taken as a recipe without interpolations.
        overrides: What the recipe was composed with; kept in the run folder.
        checked: Whether whoever started this process has found no mistakes in it.

    Returns:
        Folder, status, metrics and archive of the run. On other ranks than the first, the same.

    Raises:
        ConfigError: The configuration has mistakes; nothing was written.
        TrainingError: Training failed; the run folder keeps what was saved, and the same call goes on from there.

    Example:
        >>> from nemo_core.config import compose
        >>> result = train(compose("my/recipe.yaml", ["optim.lr=1e-3"]))  # doctest: +SKIP
        >>> result.metrics["val_loss"], result.archive  # doctest: +SKIP
        (0.031, PosixPath('runs/recipe/v1/model.nemo'))
    """
    config = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    if not checked:  # references are resolved in what a process is handed: its own sections look like misspelt ones
        raise_problems(validate(config), str(config.get("name", "the configuration")))
    tree: dict[str, Any] = plain(config)
    settings = section(TrainerConfig, tree.get("trainer") or {})
    processes = local_processes(settings)
    _preflight(tree, settings, trust_of(config), processes)
    with join_world(settings) as world:
        if world.launched or processes * settings.num_nodes == 1:
            return _run(tree, settings, trust_of(config), overrides, world)
    if settings.num_nodes > 1:
        raise ConfigError(
            f"trainer.num_nodes is {settings.num_nodes}, and no launcher started this process",
            hint="on every node: torchrun --nnodes N --nproc-per-node M -m nemo_core.train RECIPE ..., or use srun",
        )
    return spawn(OmegaConf.to_yaml(OmegaConf.create(tree)), overrides, processes)


def _preflight(tree: Mapping[str, Any], settings: TrainerConfig, trust: Trust, processes: int) -> None:
    """Let a strategy that has something to say refuse the configuration before any process is started."""
    if not isinstance(settings.strategy, Mapping):
        return
    strategy = build_strategy(settings.strategy, processes, None, trust)
    refuse = getattr(strategy, "preflight", None)
    if refuse is not None:
        size = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or processes * settings.num_nodes)
        refuse(tree, size, lambda node, where: instantiate(node, trust=trust, at=where))


def build(tree: Mapping[str, Any], trust: Trust) -> tuple[LightningModule, LightningDataModule]:
    """Build the model and the data of a plain configuration, with the run's seed and optimiser.

    Raises:
        ConfigError: What was built is no model or no data module, or cannot be built.
    """
    seed = int(tree.get("seed", 0))
    _seed(seed)
    model = instantiate(tree["model"], trust=trust, at="model")
    if not isinstance(model, LightningModule):
        raise ConfigError(f"model: {type(model).__name__} is no model", hint="derive it from nemo_core.Model")
    data = instantiate(tree["data"], trust=trust, at="data")
    if not isinstance(data, LightningDataModule):
        raise ConfigError(
            f"data: {type(data).__name__} is no data module", hint="derive it from nemo_core.data.DataModule"
        )
    if isinstance(data, DataModule) and data.seed is None:
        data.seed = seed
    if tree.get("optim"):
        monitor = (tree.get("experiment") or {}).get("monitor") or "val_loss"
        attach_optimizer(model, tree["optim"], monitor=monitor)
    return model, data


def _run(
    tree: dict[str, Any], settings: TrainerConfig, trust: Trust, overrides: Sequence[str], world: World
) -> RunResult:
    started = time.perf_counter()
    experiment = section(ExperimentConfig, tree.get("experiment") or {})
    folder, checkpoint = _open(tree, experiment, overrides, world)
    log = folder.path / ("train.log" if world.rank == 0 else f"train.rank{world.rank}.log")
    status = "failed"
    built: Built | None = None
    try:
        with run_log(log), matmul_precision(settings.precision):
            if checkpoint is not None:
                logger.info("going on in %s from %s", folder.path, checkpoint.name)
            else:
                logger.info("run folder %s", folder.path)
            model, data = build(tree, trust)
            # Of a resumed run the weights are in the checkpoint; for some models the source says more than weights.
            if tree.get("init_from") and (checkpoint is None or getattr(model, "source_on_resume", False)):
                take_over = model.init_from if isinstance(model, Model) else partial(init_from, model)
                logger.info("%s", take_over(tree["init_from"]))
            if settings.enable_model_summary:
                logger.info("%s", describe_model(model))
            built = build_trainer(tree, settings, experiment, model=model, folder=folder, world=world, trust=trust)
            _seed(int(tree.get("seed", 0)) + world.rank)
            result = _fit(built, model, data, tree, trust, folder, checkpoint)
            status = result.status
            result = replace(result, seconds=time.perf_counter() - started)
            if world.rank == 0:
                write_atomically(folder.path / "metrics.json", json.dumps(result.metrics, indent=2, sort_keys=True))
                write_atomically(folder.path / "result.json", result.to_json())
            return result
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except Exception:
        with log.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
        raise
    finally:
        # A strategy may own more than Lightning ends with a fit, since a test can follow it.
        close = getattr(built.trainer.strategy, "close", None) if built is not None else None
        if close is not None:
            close()
        if world.rank == 0:
            folder.note(status=status)
        folder.release()


def _open(
    tree: dict[str, Any], experiment: ExperimentConfig, overrides: Sequence[str], world: World
) -> tuple[RunFolder, Path | None]:
    """Find or make the run folder and the checkpoint to go on from: rank 0 does, and the others learn of it."""
    mine: list[RunFolder] = []

    def find() -> tuple[Path, Path | None]:
        source = _resume_source(experiment.resume)
        folder = RunFolder.open(
            tree,
            dir=Path(experiment.dir),
            name=str(tree["name"]),
            version=experiment.version,
            resume=experiment.resume == "auto",
        )
        mine.append(folder)
        if not folder.resumed:
            folder.write_config(OmegaConf.to_yaml(OmegaConf.create(tree)), list(overrides))
        return folder.path, newest_valid(folder.checkpoints) if folder.resumed else source

    path, checkpoint = world.agree(find)
    return (mine[0] if mine else RunFolder(path)), checkpoint


def _resume_source(resume: str) -> Path | None:
    """Return the checkpoint that ``experiment.resume`` names, if it names one."""
    if resume in ("auto", "never"):
        return None
    path = Path(resume)
    if path.is_dir() and not is_folder_checkpoint(path):
        found = newest_valid(path / "checkpoints") or newest_valid(path)
        if found is None:
            raise ConfigError(f"experiment.resume: there is no checkpoint in {path}")
        return found
    if not path.exists():
        raise ConfigError(
            f"experiment.resume: {resume} does not exist", hint="give auto, never, a checkpoint or a run folder"
        )
    check_checkpoint(path)
    return path


def _fit(
    built: Built,
    model: LightningModule,
    data: LightningDataModule,
    tree: Mapping[str, Any],
    trust: Trust,
    folder: RunFolder,
    checkpoint: Path | None,
) -> RunResult:
    """Train, test and archive; or stop early, when asked to."""
    trainer, experiment = built.trainer, section(ExperimentConfig, tree.get("experiment") or {})
    result = RunResult(folder.path, resumed_from=checkpoint)
    try:
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except Interrupted as interrupted:
        result = replace(result, status=interrupted.reason)
    except SystemExit:  # Lightning turns Ctrl-C into one
        raise KeyboardInterrupt from None
    except (NemoError, KeyboardInterrupt):
        raise
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
        raise TrainingError(
            f"training failed at step {trainer.global_step + 1} (epoch {trainer.current_epoch}): "
            f"{type(error).__name__}: {error}",
            hint=f"the log is {folder.path / 'train.log'}; --debug shows the traceback",
        ) from error
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
    if built.checkpoints.best:
        metrics[f"best_{experiment.monitor or 'val_loss'}"] = built.checkpoints.best[0][0]
    seconds, steps = built.telemetry.seconds, built.telemetry.steps
    result = replace(
        result,
        metrics=metrics,
        best=built.checkpoints.best_path,
        steps=trainer.global_step,
        steps_per_second=steps / seconds if seconds else 0.0,
    )
    if result.status != "finished":
        return result
    _load_weights(built, model, experiment)
    if experiment.test and is_overridden("test_step", model):
        found = trainer.test(model, datamodule=data, verbose=False)
        for each in found:
            result.metrics.update({name: float(value) for name, value in each.items()})
    if experiment.archive and isinstance(model, Model):
        path = model.archive(folder.path / "model")
        if path is None:
            path = folder.path / "model.nemo"
            _archive(model, tree["model"], trust, path, write=trainer.is_global_zero)
        trainer.strategy.barrier("archive")
        result = replace(result, archive=path)
    return result


def _load_weights(built: Built, model: LightningModule, experiment: ExperimentConfig) -> None:
    """Put the weights that are tested and archived into ``model``: of the best checkpoint, or else of the last."""
    if experiment.weights not in ("best", "last"):
        raise ConfigError(f"experiment.weights: {experiment.weights!r} is neither best nor last")
    path = built.checkpoints.best_path if experiment.weights == "best" else None
    path = path if path is not None else built.checkpoints.last_path
    if path is not None and path.exists():
        # Not what is in memory: that may be averaged or not, depending on where a run was resumed.
        saves = built.trainer.strategy.checkpoint_io
        assert isinstance(saves, AtomicCheckpointIO)
        saves.load_weights(path, model)


def _archive(model: Model, node: Any, trust: Trust, path: Path, *, write: bool) -> None:
    """Write the archive; every process takes part where they share the weights, and one writes."""
    if any(isinstance(weight, DTensor) for weight in model.state_dict().values()):
        state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        if not write:
            return
        model = instantiate(node, trust=trust)
        model.load_state_dict(state)
    if write:
        model.cpu().save(path, overwrite=True)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
