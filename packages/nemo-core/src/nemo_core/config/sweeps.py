"""Run one recipe many times: ``nemo train RECIPE --multirun optim.lr=1e-3,3e-4``.

Hydra itself runs the sweep, so its sweepers (grid, Optuna, Ax, Nevergrad) and launchers (local, joblib, Slurm by
submitit, Ray) work as their own pages say: ``hydra/launcher=joblib``, ``hydra/sweeper=optuna``.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from nemo_core.config.composition import compose, fill_in, prepare, search_path_override
from nemo_core.config.overrides import parse_overrides
from nemo_core.config.problems import raise_problems
from nemo_core.config.recipes import Recipe, find_recipe, search_path
from nemo_core.errors import ConfigError
from nemo_core.plugins import Registry, plugins

__all__ = ["multirun"]

_MOST_CHECKED = 64
_LOGS = ("hydra_logging", "job_logging")


def multirun(
    recipe: str | Path,
    overrides: Sequence[str],
    task: Callable[[DictConfig, list[str]], Any],
    *,
    config_dirs: Sequence[str | Path] = (),
    registry: Registry | None = None,
) -> None:
    """Run ``task`` with the recipe for each job of a sweep.

    Every value of the sweep is checked before the first job starts. Jobs are told apart by ``experiment.version``,
    which becomes what the job overrides (``optim.lr=0.001``); so the same sweep, started again, goes on with the same
    runs.

    Args:
        recipe: As for :func:`~nemo_core.config.compose`.
        overrides: As there, with ranges and lists of values: ``optim.lr=1e-3,3e-4``, ``seed=range(4)``.
        task: What a job does, given the recipe and the job's overrides. Launchers that start other processes pickle
            it. Its result, if a number, is what optimizing sweepers look at.
        config_dirs: Further folders to search.
        registry: Where recipes and components are looked up; the process's registry if not given.

    Raises:
        ConfigError: With all mistakes, a line each.
    """
    known = registry if registry is not None else plugins().registry
    found = find_recipe(recipe, config_dirs=config_dirs, registry=known)
    folders = search_path(found, config_dirs=config_dirs, registry=known)
    lines, problems = prepare(found, overrides, folders, known)
    raise_problems(problems, found.name)
    parsed, _ = parse_overrides(lines)
    for job in _samples(parsed):
        compose(recipe, job, config_dirs=config_dirs, registry=known)
    swept = frozenset(override.key_or_group for override in parsed if override.is_sweep_override())
    name = found.path.relative_to(found.folder).as_posix()
    main = hydra.main(config_path=str(found.folder), config_name=name, version_base="1.3")
    # The task has its own log; Hydra's would show every line of it twice.
    lines = [f"hydra/{log}=none" for log in _LOGS if not any(f"hydra/{log}" in line for line in lines)] + lines
    with _command_line(["--multirun", *lines, search_path_override(folders)]):
        main(_Job(task, found, swept))()


@dataclass(frozen=True)
class _Job:
    """One run of the task, in whatever process the launcher chooses."""

    task: Callable[[DictConfig, list[str]], Any]
    recipe: Recipe
    swept: frozenset[str]

    def __call__(self, composed: DictConfig) -> Any:
        config = fill_in(composed, self.recipe)
        overrides = list(HydraConfig.get().overrides.task)
        given = config.experiment.version
        label = self._label(overrides)
        OmegaConf.update(config, "experiment.version", label if given is None else f"{given}-{label}")
        return self.task(config, overrides)

    def _label(self, overrides: list[str]) -> str:
        """Return a name for the job that a folder can have, the same whenever the sweep is run again."""
        parsed, _ = parse_overrides(overrides)
        texts = [f"{each.key_or_group}={each.value()}" for each in parsed if each.key_or_group in self.swept]
        label = re.sub(r"[^\w.,=+-]+", "_", ",".join(texts))
        return label if 0 < len(label) <= 100 else f"{label[:80]}job{HydraConfig.get().job.num}"


def _samples(overrides: Sequence[Override]) -> Iterator[list[str]]:
    """Yield lists of overrides in which each value of each sweep occurs; not every combination of them."""
    fixed = [str(each.input_line) for each in overrides if not each.is_sweep_override()]
    choices = []
    for each in overrides:
        if each.is_discrete_sweep():
            key = each.get_key_element()
            choices.append([f"{key}={value}" for value in islice(each.sweep_string_iterator(), _MOST_CHECKED)])
    for index in range(max(map(len, choices), default=1)):
        yield fixed + [next(islice(cycle(values), index, None)) for values in choices]


@contextlib.contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    """Give ``hydra.main`` its arguments, which it takes from nowhere else, and have it raise instead of exit."""
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [argv[0], *arguments]
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    except SystemExit as stop:
        raise ConfigError("Hydra stopped the sweep; its message is above") from stop
    finally:
        sys.argv = argv
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error
