"""``nemo train``: compose a recipe, check all of it, and train."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from nemo_core.cli.output import console, table
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from nemo_core.training.result import RunResult

__all__ = ["show_result", "train"]


def _recipes() -> list[str]:
    from nemo_core.config import list_recipes

    return [each.name for each in list_recipes()]


def train(
    recipe: Annotated[
        str, typer.Argument(help="Recipe, such as asr/spoken_digits, or a YAML file.", autocompletion=_recipes)
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Changes to it: key=value, +key=value, ~key (Hydra's grammar).")
    ] = None,
    cfg: Annotated[str | None, typer.Option(help="Print the configuration (job) and end.", metavar="job")] = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="Train once for each combination of comma-separated values.")
    ] = False,
    config_dir: Annotated[
        list[str] | None,
        typer.Option("--config-dir", metavar="FOLDER", help="With recipes of your own, and parts of them; repeatable."),
    ] = None,
    nproc: Annotated[
        int | None, typer.Option(metavar="N", help="Processes on this machine; the same as trainer.devices=N.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Build model and data, show them, and end.")] = False,
) -> None:
    """Train or fine-tune a model from a recipe.

    The run's folder is runs/NAME/VERSION, and runs/NAME/latest leads to it. Killed and started again, the same command
    goes on where the last checkpoint was made, with the same batches.

    Example:
      nemo train asr/spoken_digits trainer.max_epochs=5 optim.lr=1e-3
    """
    changes = list(overrides or [])
    if nproc is not None:
        changes.append(f"trainer.devices={nproc}")
    if cfg is not None and cfg != "job":
        raise ConfigError(f"--cfg: {cfg!r} is not known", hint="give --cfg job")
    if multirun:
        _multirun(recipe, changes, config_dir or [])
        return
    from nemo_core.config import compose

    # Everything that can be wrong with it is said before torch is loaded.
    config = compose(recipe, changes, config_dirs=config_dir or ())
    if cfg is not None:
        from omegaconf import OmegaConf

        sys.stdout.write(OmegaConf.to_yaml(config, resolve=True))
        return
    if dry_run:
        _dry_run(config)
        return
    result = _train(config, changes)
    if result.status == "interrupted":
        raise typer.Exit(130)


def _train(config: DictConfig, overrides: list[str]) -> RunResult:
    from nemo_core.training import train as run

    with _log_to_terminal():
        result = run(config, overrides=overrides)
    show_result(result)
    return result


def _multirun(recipe: str, overrides: list[str], config_dirs: list[str]) -> None:
    from nemo_core.config import multirun

    multirun(recipe, overrides, _job, config_dirs=config_dirs)


def _job(config: DictConfig, overrides: list[str]) -> float | None:
    """Train one job of a sweep; return what a sweeper that optimizes looks at."""
    console(stderr=True).print(f"job {config.experiment.version}", markup=False, highlight=False, style="bold")
    return _train(config, overrides).metrics.get(f"best_{config.experiment.monitor or 'val_loss'}")


def _dry_run(config: DictConfig) -> None:
    """Build everything, take one training batch, and show what there is."""
    from nemo_core.config import trust_of
    from nemo_core.config.build import plain
    from nemo_core.training.run import build

    model, data = build(plain(config), trust_of(config))
    data.setup("fit")
    loader = data.train_dataloader()
    rows = [("model", type(model).__name__)]
    rows += [(f"  {name}", f"{sum(p.numel() for p in child.parameters()):,}") for name, child in model.named_children()]
    rows += [("parameters", f"{sum(p.numel() for p in model.parameters()):,}")]
    rows += [("data", type(data).__name__), ("batches per epoch", f"{len(loader):,}")]
    rows += [(f"  batch{path}", shape) for path, shape in _shapes(next(iter(loader)), "")]
    table(f"{config.name}: dry run, nothing was trained", ["what", "value"], rows)


def _shapes(value: object, path: str) -> Iterator[tuple[str, str]]:
    shape = getattr(value, "shape", None)
    if shape is not None:
        yield path, f"{tuple(shape)} {str(getattr(value, 'dtype', '')).removeprefix('torch.')}"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _shapes(item, f"{path}.{key}")
    elif hasattr(value, "_asdict"):
        yield from _shapes(value._asdict(), path)
    elif isinstance(value, (list, tuple)) and value and hasattr(value[0], "shape"):
        for index, item in enumerate(value):
            yield from _shapes(item, f"{path}[{index}]")
    else:
        yield path, type(value).__name__


_STATUS = {
    "preempted": "stopped by a signal; the same command goes on from here",
    "max_time": "time limit reached; the same command goes on from here",
    "interrupted": "stopped by Ctrl-C; the same command goes on from here",
}


def show_result(result: RunResult) -> None:
    """Print a table of metrics, time and speed, and where the run's folder and its archive are."""
    rows: list[tuple[str, str]] = []
    if result.status != "finished":
        rows.append(("status", _STATUS[result.status]))
    rows += [(name, f"{value:.4g}") for name, value in sorted(result.metrics.items(), key=_test_last)]
    rows.append(("steps", f"{result.steps:,}"))
    minutes, seconds = divmod(round(result.seconds), 60)
    rows.append(("time", f"{minutes}:{seconds:02d} min"))
    if result.steps_per_second:
        rows.append(("speed", f"{result.steps_per_second:.1f} steps/s"))
    table("", ["result", "value"], rows)
    # Not in the table: there a narrow terminal would break paths, and nobody could copy them.
    typer.echo(f"run folder: {result.run_dir}")
    if result.archive is not None:
        typer.echo(f"archive: {result.archive}")


def _test_last(item: tuple[str, float]) -> tuple[bool, str]:
    return item[0].startswith("test"), item[0]


@contextmanager
def _log_to_terminal() -> Iterator[None]:
    """Show what the framework logs, while a command runs."""
    handler = _ConsoleHandler(logging.INFO)
    logger = logging.getLogger("nemo_core")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _ConsoleHandler(logging.Handler):
    """Writes records to standard error, those above INFO with their level."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one."""
        text = record.getMessage()
        if record.levelno > logging.INFO:
            text = f"{record.levelname.lower()}: {text}"
        console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
