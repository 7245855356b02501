"""The shape of a recipe: one dataclass per section, with the default of every key.

These are what a recipe is checked against and where its defaults come from; what a key does is told beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from omegaconf import MISSING

__all__ = [
    "CheckpointConfig",
    "EMAConfig",
    "EarlyStoppingConfig",
    "ExperimentConfig",
    "OptimConfig",
    "RecipeConfig",
    "RecipeInfo",
    "SchedulerConfig",
    "TrainerConfig",
]


@dataclass
class RecipeInfo:
    """What a list of recipes shows about one."""

    summary: str = ""
    data: str = ""
    size: str = ""
    hardware: str = ""
    needs: list[str] = field(default_factory=list)  # distributions of other plugins whose components it names


@dataclass
class TrainerConfig:
    """How the training loop runs; most keys are Lightning's own."""

    # What Lightning's Trainer takes and this section does not, and where it is found.
    elsewhere: ClassVar[dict[str, str]] = {
        "barebones": "for a run that keeps nothing, turn off what experiment keeps: csv, tensorboard, archive, ...",
        "default_root_dir": "it is experiment.dir",
        "enable_checkpointing": "it is experiment.checkpoint.enable",
        "limit_predict_batches": "training predicts nothing; there are limit_val_batches and limit_test_batches",
        "logger": "it is experiment.csv, experiment.tensorboard and experiment.loggers",
        "max_time": "it is experiment.max_time",
        "model_registry": "add a logger to experiment.loggers",
    }

    accelerator: Literal["auto", "cpu", "gpu", "cuda"] = "auto"
    devices: int | str = 1  # processes on this machine: a number, or auto for all that the accelerator has
    num_nodes: int = 1
    strategy: Any = "auto"  # auto, ddp, ddp_find_unused, fsdp2, or a node with a _target_
    precision: str = "fp32"  # fp32, tf32, fp16, bf16, fp8
    max_epochs: int | None = None
    max_steps: int = -1  # optimiser steps; -1: no limit
    min_epochs: int | None = None
    min_steps: int | None = None
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"
    val_check_interval: int | float | None = None  # a number of batches, or a part (0.5) of an epoch
    check_val_every_n_epoch: int | None = 1
    num_sanity_val_steps: int = 0
    limit_train_batches: int | float | None = None  # a number of batches, or a part of an epoch
    limit_val_batches: int | float | None = None
    limit_test_batches: int | float | None = None
    overfit_batches: int | float = 0.0
    fast_dev_run: bool | int = False
    log_every_n_steps: int = 10
    deterministic: bool | Literal["warn"] | None = None
    benchmark: bool | None = None
    detect_anomaly: bool = False
    inference_mode: bool = True  # validate and test in torch.inference_mode; false: in torch.no_grad
    sync_batchnorm: bool = False
    # Divide the batches of a data module among processes; ours (nemo_core.data) do that themselves.
    use_distributed_sampler: bool = False
    profiler: Literal["simple", "advanced", "pytorch"] | None = None
    enable_progress_bar: bool = True
    enable_model_summary: bool = True
    callbacks: list[Any] = field(default_factory=list)  # nodes with a _target_


@dataclass
class CheckpointConfig:
    """When the state of a run is saved. `last` can be resumed from; so can the best ones."""

    enable: bool = True
    every_n_steps: int | None = None  # optimiser steps
    every_n_epochs: int | None = 1
    every_n_minutes: float | None = None
    keep_best: int = 1  # how many of the best by experiment.monitor


@dataclass
class EMAConfig:
    """Exponential moving average of the weights, which validation, test and the archive then use."""

    enable: bool = False
    decay: float = 0.999
    every_n_steps: int = 1
    start_step: int = 0
    device: str | None = None  # cpu spares GPU memory


@dataclass
class EarlyStoppingConfig:
    """Stop when experiment.monitor no longer improves."""

    enable: bool = False
    patience: int = 10  # validations without improvement
    min_delta: float = 0.0
    stopping_threshold: float | None = None
    divergence_threshold: float | None = None


@dataclass
class ExperimentConfig:
    """The folder of a run, what is kept in it, and what ends it."""

    dir: str = "runs"  # the run is <dir>/<name>/<version>
    version: str | None = None  # v1, v2, ... if not given
    resume: str = "auto"  # auto: go on with the latest unfinished run of this configuration; never; or a checkpoint
    monitor: str | None = None  # the metric that says which weights are best; val_loss, if it is logged
    mode: Literal["min", "max"] = "min"
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    ema: EMAConfig = field(default_factory=EMAConfig)
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    max_time: str | None = None  # [days:]hours:minutes:seconds of this run; then it is saved and stops
    preemption: bool = True  # on SIGTERM or SIGUSR1 save and stop
    nan: Literal["stop", "skip"] = "stop"  # when a gradient or loss is not finite: stop, or skip the step
    max_skipped_steps: int = 10  # in a row; more are an error
    step_timing: bool = True
    curve: bool = True  # draw curve.png
    tensorboard: bool = True
    csv: bool = True
    loggers: list[Any] = field(default_factory=list)  # further Lightning loggers, nodes with a _target_
    test: bool = True  # after training, if there is a test set
    weights: Literal["best", "last"] = "best"  # which weights are tested and archived
    archive: bool = True  # write model.nemo


@dataclass
class SchedulerConfig:
    """The learning rate over time; further keys are arguments of the scheduler."""

    component: ClassVar[str] = "scheduler"  # the kind of component that `name` names

    name: str = MISSING
    interval: Literal["step", "epoch"] | None = None  # what suits the scheduler if not given
    frequency: int = 1
    monitor: str | None = None  # for ReduceLROnPlateau; experiment.monitor if not given


@dataclass
class OptimConfig:
    """The optimiser; further keys are its arguments."""

    component: ClassVar[str] = "optimizer"  # the kind of component that `name` names

    name: str = MISSING
    lr: float = MISSING
    decay_bias_and_norm: bool = True  # False: no weight decay on biases, norms and other vectors
    param_groups: dict[str, Any] = field(default_factory=dict)  # name of a submodule -> its lr, weight_decay, ...
    scheduler: SchedulerConfig | None = None


@dataclass
class RecipeConfig:
    """A whole recipe. Sections that a recipe adds at the top (tokenizer, say) are its own."""

    name: str = MISSING
    recipe: RecipeInfo = field(default_factory=RecipeInfo)
    model: Any = MISSING
    data: Any = MISSING
    optim: OptimConfig = MISSING
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    experiment: ExperimentConfig = field(default_factory=ExperimentConfig)
    seed: int = 0
    trust: list[str] = field(default_factory=list)  # packages whose code this recipe may name
    init_from: Any = None  # an archive to take weights from
