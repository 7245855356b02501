"""Compose a recipe: Hydra does the composing, and every mistake is found before anything is built."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nemo_core.config.overrides import is_sweep, judge, parse_overrides
from nemo_core.config.problems import Problem, raise_problems
from nemo_core.config.recipes import Recipe, find_recipe, not_installed, search_path
from nemo_core.config.schema import RecipeConfig
from nemo_core.config.shape import fill
from nemo_core.config.sources import point_at_lines
from nemo_core.config.trust import Trust
from nemo_core.config.validation import trust_of, validate
from nemo_core.errors import ConfigError
from nemo_core.plugins import Registry, plugins

__all__ = ["compose", "fill_in", "prepare", "run_hydra", "search_path_override"]

_HYDRA_IS_ONE = threading.RLock()  # Hydra keeps the state of a composition in process-wide singletons


def compose(
    recipe: str | Path,
    overrides: Sequence[str] = (),
    *,
    validate: bool = True,
    config_dirs: Sequence[str | Path] = (),
    registry: Registry | None = None,
) -> DictConfig:
    """Compose a recipe with overrides and the defaults of every section.

    Args:
        recipe: A registered recipe (``asr/spoken_digits``), a file in one of ``config_dirs``, or a path to a YAML file.
        overrides: As on the command line, in Hydra's grammar: ``optim.lr=1e-3``, ``+new=1``, ``~old``, ``group=x``.
        validate: Whether to check the result; overrides are checked in any case.
        config_dirs: Further folders to search for recipes and what they include.
        registry: Where recipes and components are looked up; the process's registry if not given.

    Returns:
        A ``DictConfig`` with the sections of :class:`~nemo_core.config.schema.RecipeConfig`, and the
        recipe's own. Interpolations are not yet resolved. Keys that are not there cannot be set by mistake (Hydra's
        struct mode).

    Raises:
        ConfigError: With all mistakes, a line each.
    """
    registry = registry if registry is not None else plugins().registry
    found = find_recipe(recipe, config_dirs=config_dirs, registry=registry)
    folders = search_path(found, config_dirs=config_dirs, registry=registry)
    lines, problems = prepare(found, overrides, folders, registry)
    single = [line for line in lines if not is_sweep(line)]
    for override in parse_overrides([line for line in lines if is_sweep(line)])[0]:
        problems.append(Problem(override.key_or_group, "is given several values", "add --multirun to run with each"))
    config = fill_in(run_hydra(found, single, folders), found)
    if validate:
        if missing := not_installed(config.recipe.needs):
            raise ConfigError(
                f"{found.name} needs {' and '.join(missing)}, not installed here",
                hint=f"pip install {' '.join(missing)}",
            )
        typed = [override.key_or_group for override in parse_overrides(single)[0]]
        problems += point_at_lines(_validated(config, registry), found.path, folders, typed)
    raise_problems(problems, found.name)
    return config


def prepare(
    recipe: Recipe, overrides: Sequence[str], folders: Sequence[Path], registry: Registry
) -> tuple[list[str], list[Problem]]:
    """Return the overrides as Hydra is to have them, and what is wrong with those left out."""
    parsed, problems = parse_overrides(overrides)
    # Hydra's own come first, and what may be named, since these decide what the others are compared with.
    early, values = [], []
    for override in parsed:
        if override.key_or_group == "trust" and not override.is_delete():
            early.append(f"++{str(override.input_line).lstrip('+')}")
        elif _is_groups(override, folders):
            early.append(str(override.input_line))
        else:
            values.append(override)
    if not values:
        return early, problems
    base = _filled(run_hydra(recipe, [line for line in early if not is_sweep(line)], folders))
    try:
        trust = trust_of(base)
    except ConfigError:
        trust = Trust.user()  # validation tells what is wrong with the list
    judged = judge(values, base, trust, registry)
    typed = [str(override.input_line).lstrip("+") for override in parsed]
    lines = sorted(early + judged.accepted, key=lambda line: _index(typed, line.lstrip("+")))
    return lines, problems + judged.problems


def _index(items: Sequence[str], item: str) -> int:
    return items.index(item) if item in items else len(items)


def run_hydra(recipe: Recipe, overrides: Sequence[str], folders: Sequence[Path]) -> DictConfig:
    """Compose with Hydra's own API, leaving none of its state behind.

    Raises:
        ConfigError: Hydra or YAML cannot make sense of the files or overrides.
    """
    with _HYDRA_IS_ONE:
        outer = GlobalHydra.instance().hydra  # set where a Hydra application calls us
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(recipe.folder), job_name="nemo", version_base="1.3"):
                name = recipe.path.relative_to(recipe.folder).as_posix()
                return hydra_compose(name, overrides=[*overrides, search_path_override(folders)])
        except (HydraException, OmegaConfBaseException, OSError, ValueError) as error:
            raise ConfigError(f"{recipe.name} cannot be composed: {_first(error)}") from error
        except RecursionError as error:
            raise ConfigError(f"{recipe.name} cannot be composed: it refers to itself") from error
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{mark.name}:{mark.line + 1}" if mark else str(recipe.path)
            raise ConfigError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from error
        finally:
            GlobalHydra.instance().hydra = outer


def search_path_override(folders: Sequence[Path]) -> str:
    """Return the override that tells Hydra where to look."""
    quoted = ",".join("'file://" + str(folder).replace("\\", "\\\\").replace("'", "\\'") + "'" for folder in folders)
    return f"hydra.searchpath=[{quoted}]"


def fill_in(composed: DictConfig, recipe: Recipe) -> DictConfig:
    """Return what Hydra composed with the defaults of every section, named after its file if it has no name."""
    config = _filled(composed)
    if "name" not in config or OmegaConf.is_missing(config, "name"):
        OmegaConf.update(config, "name", recipe.path.stem, force_add=True)
    OmegaConf.set_struct(config, True)
    return config


def _validated(config: DictConfig, registry: Registry) -> list[Problem]:
    return validate(config, registry=registry) + plugins().call("nemo_config_problems", config=config)


def _filled(composed: DictConfig) -> DictConfig:
    given: Any = OmegaConf.to_container(composed, resolve=False)
    given.pop("hydra", None)
    return OmegaConf.create(fill(RecipeConfig, given))


def _is_groups(override: Override, folders: Sequence[Path]) -> bool:
    """Whether an override chooses a file of a config group, or concerns Hydra itself, rather than a value."""
    key = override.key_or_group
    if override.package is not None or "/" in key or key == "hydra" or key.startswith("hydra."):
        return True
    return any((folder / key).is_dir() for folder in folders) and not isinstance(override._value, dict)


def _first(error: BaseException) -> str:
    """Return the message of an error of Hydra without its tables and trails."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = error.__cause__
    if cause is not None and lines and lines[0].startswith("Error merging"):
        return f"{lines[0]}: {_first(cause)}"
    return " ".join(lines[:2]) if lines else type(error).__name__
