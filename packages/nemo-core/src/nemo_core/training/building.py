"""The Lightning trainer of a run: its callbacks, loggers and settings, from the recipe's sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, EMAWeightAveraging
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from pytorch_lightning.strategies import Strategy

from nemo_core.config import Trust, instantiate
from nemo_core.config.schema import ExperimentConfig, TrainerConfig
from nemo_core.errors import ConfigError
from nemo_core.plugins import plugins
from nemo_core.training.callbacks import (
    Checkpoints,
    Curve,
    ExactState,
    Interruption,
    NaNGuard,
    Telemetry,
)
from nemo_core.training.callbacks.interruption import parse_time
from nemo_core.training.callbacks.progress import progress_bar
from nemo_core.training.checkpoint_io import AtomicCheckpointIO
from nemo_core.training.csv_log import CSVLog
from nemo_core.training.distributed import World, local_processes
from nemo_core.training.precision import lightning_precision
from nemo_core.training.run_folder import RunFolder
from nemo_core.training.strategies import build_strategy

__all__ = ["Built", "build_trainer"]

_PROFILERS: dict[str, type[Profiler]] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}
# Keys of the trainer section that are not handed to Lightning as they are.
_OURS = {
    "devices",
    "num_nodes",
    "strategy",
    "precision",
    "max_epochs",
    "profiler",
    "callbacks",
    "enable_progress_bar",
    "enable_model_summary",
}


@dataclass(frozen=True)
class Built:
    """A trainer, and those of its callbacks that are asked something when it is done."""

    trainer: Trainer
    checkpoints: Checkpoints
    telemetry: Telemetry


def build_trainer(
    config: Mapping[str, Any],
    settings: TrainerConfig,
    experiment: ExperimentConfig,
    *,
    model: LightningModule,
    folder: RunFolder,
    world: World,
    trust: Trust,
) -> Built:
    """Build the trainer of a run.

    Args:
        config: The whole configuration, plain.
        settings: Its trainer section.
        experiment: Its experiment section.
        model: What is trained.
        folder: Where everything is written.
        world: The processes that take part.
        trust: What callbacks and loggers may be.
    """
    interruption = Interruption(max_seconds=parse_time(experiment.max_time), preemption=experiment.preemption)
    checkpoints = Checkpoints(
        folder.checkpoints, experiment.checkpoint, interruption, monitor=experiment.monitor, mode=experiment.mode
    )
    telemetry = Telemetry(experiment.step_timing, settings.log_every_n_steps)
    # The order matters: the state of generators is set before anything else draws from them, and checkpoints are made
    # before averaging replaces the weights at the end.
    callbacks: list[Callback] = [ExactState(), interruption, checkpoints]
    if experiment.ema.enable:
        callbacks.append(_ema(experiment))
    callbacks += [NaNGuard(_choice("experiment.nan", experiment.nan, ("stop", "skip")), experiment.max_skipped_steps)]
    if experiment.early_stopping.enable:
        callbacks.append(_early_stopping(experiment))
    callbacks.append(telemetry)
    if experiment.curve and experiment.csv:
        callbacks.append(Curve(folder.path / "metrics.csv", folder.path / "curve.png", _title(config, folder)))
    if settings.enable_progress_bar:
        callbacks.append(progress_bar())
    callbacks += _instances(settings.callbacks, "trainer.callbacks", trust)
    callbacks += [
        callback for offered in plugins().call("nemo_callbacks", config=config) for callback in _listed(offered)
    ]

    strategy = build_strategy(settings.strategy, world.size, model, trust)
    passed = {key: value for key, value in vars(settings).items() if key not in _OURS}
    trainer = Trainer(
        **passed,
        callbacks=callbacks,
        logger=_loggers(experiment, folder, trust) or False,
        default_root_dir=folder.path,
        devices=world.local_size if world.launched else local_processes(settings),
        num_nodes=world.size // world.local_size if world.launched else settings.num_nodes,
        strategy=strategy,
        precision=lightning_precision(settings.precision, _device(settings)),  # type: ignore[arg-type]
        max_epochs=_epochs(settings, experiment),
        profiler=_profiler(settings, folder),
        enable_progress_bar=settings.enable_progress_bar,
        enable_model_summary=False,  # describe_model says it in a line
        enable_checkpointing=False,
        plugins=_checkpoint_io(strategy),
    )
    return Built(trainer, checkpoints, telemetry)


def _checkpoint_io(strategy: Strategy | str) -> AtomicCheckpointIO | None:
    """Return what writes checkpoints, if the strategy does not bring its own."""
    if isinstance(strategy, str):
        return AtomicCheckpointIO()
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = AtomicCheckpointIO()
    if not isinstance(strategy.checkpoint_io, AtomicCheckpointIO):
        raise ConfigError(
            f"trainer.strategy: {type(strategy).__name__} writes checkpoints with "
            f"{type(strategy.checkpoint_io).__name__}, which may leave half of one when it is killed",
            hint="derive that class from nemo_core.training.AtomicCheckpointIO",
        )
    return None


def _epochs(settings: TrainerConfig, experiment: ExperimentConfig) -> int:
    if settings.max_epochs is not None:
        return settings.max_epochs
    if settings.max_steps == -1 and experiment.max_time is None:
        raise ConfigError("trainer: nothing says when to stop", hint="set trainer.max_epochs or trainer.max_steps")
    return -1


def _device(settings: TrainerConfig) -> str:
    return "cuda" if settings.accelerator != "cpu" and torch.cuda.is_available() else "cpu"


def _profiler(settings: TrainerConfig, folder: RunFolder) -> Profiler | None:
    if settings.profiler is None:
        return None
    name = _choice("trainer.profiler", settings.profiler, tuple(_PROFILERS))
    return _PROFILERS[name](dirpath=folder.path, filename="profile")


def _ema(experiment: ExperimentConfig) -> EMAWeightAveraging:
    ema = experiment.ema
    if not 0 <= ema.decay <= 1:
        raise ConfigError(f"experiment.ema.decay is {ema.decay}", hint="give a number from 0 to 1, such as 0.999")
    return EMAWeightAveraging(
        device=ema.device,
        decay=ema.decay,
        update_every_n_steps=ema.every_n_steps,
        update_starting_at_step=ema.start_step or None,
    )


def _early_stopping(experiment: ExperimentConfig) -> EarlyStopping:
    early = experiment.early_stopping
    return EarlyStopping(
        monitor=experiment.monitor or "val_loss",
        mode=experiment.mode,
        patience=early.patience,
        min_delta=early.min_delta,
        stopping_threshold=early.stopping_threshold,
        divergence_threshold=early.divergence_threshold,
    )


def _loggers(experiment: ExperimentConfig, folder: RunFolder, trust: Trust) -> list[Logger]:
    loggers: list[Logger] = []
    if experiment.csv:
        loggers.append(CSVLog(folder.path / "metrics.csv"))
    if experiment.tensorboard:
        loggers.append(TensorBoardLogger(folder.path, name="tensorboard", version=""))
    return loggers + _instances(experiment.loggers, "experiment.loggers", trust)


def _instances(nodes: Sequence[Any], key: str, trust: Trust) -> list[Any]:
    return [instantiate(node, trust=trust, at=f"{key}[{index}]") for index, node in enumerate(nodes)]


def _choice(key: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise ConfigError(f"{key}: {value!r} is not one of {', '.join(allowed)}")
    return value


def _title(config: Mapping[str, Any], folder: RunFolder) -> str:
    return f"{config['name']}  {folder.path.name}"


def _listed(offered: Any) -> list[Callback]:
    return [offered] if isinstance(offered, Callback) else list(offered)
