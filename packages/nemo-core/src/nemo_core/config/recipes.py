"""Recipes: YAML files that plugins bring, and those that a person keeps.

``registry.recipes("nemo_asr.conf", prefix="asr")`` offers the files of the folder ``asr`` of ``nemo_asr/conf`` as
``asr/<file name>``, which is also what Hydra calls them once ``nemo_asr/conf`` is on its search path. Deeper folders
are Hydra's config groups.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nemo_core.config.problems import suggest
from nemo_core.config.static import module_folders
from nemo_core.errors import ConfigError
from nemo_core.plugins import Registry

__all__ = ["Recipe", "find_recipe", "list_recipes", "not_installed", "search_path"]

_CORE = "nemo_core.conf"


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        name: What ``nemo train`` calls it, such as ``asr/spoken_digits``.
        package: The import package that it belongs to; empty for a person's own file.
        summary: What it trains, in one line.
        path: The file.
        metadata: The rest of its ``recipe:`` section: data, size, hardware, needs.
        folder: The folder that Hydra searches.
    """

    name: str
    package: str
    summary: str
    path: Path
    metadata: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()


def list_recipes(*, registry: Registry | None = None) -> list[Recipe]:
    """Return all recipes of the installed plugins, by name.

    Every file of a registered folder is one, except those whose name begins with an underscore: parts to include.
    """
    found: dict[str, Recipe] = {}
    for package, prefix, folder in _packages(registry):
        for path in sorted((folder / prefix).glob("*.yaml")):
            if not path.stem.startswith("_"):
                about = dict(_about(path))
                name = f"{prefix}/{path.stem}"
                found[name] = Recipe(name, package, str(about.pop("summary", "")), path, about, folder)
    return [found[name] for name in sorted(found)]


def find_recipe(
    name: str | Path, *, config_dirs: Sequence[str | Path] = (), registry: Registry | None = None
) -> Recipe:
    """Return the recipe of that name, or of that path.

    Args:
        name: A registered recipe, a file of one of ``config_dirs``, or the path of a YAML file.
        config_dirs: Further folders to look in; they come first.
        registry: Where registered recipes are looked up; the process's registry if not given.

    Raises:
        ConfigError: There is no such recipe.
    """
    text = str(name)
    for each in config_dirs:
        folder = Path(each).absolute()
        if not folder.is_dir():
            raise ConfigError(f"--config-dir {each} is not a folder")
        for path in (folder / text, folder / f"{text}.yaml"):
            if path.is_file():
                return Recipe(path.relative_to(folder).with_suffix("").as_posix(), "", "", path, folder=folder)
    for package, prefix, folder in _packages(registry):
        path = folder / f"{text}.yaml"
        if text.startswith(f"{prefix}/") and path.is_file():
            return Recipe(text, package, "", path, folder=folder)
    path = Path(text).expanduser()
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            path = path.absolute()
            return Recipe(path.stem, "", "", path, folder=path.parent)
        raise ConfigError(f"there is no file {text}", hint=suggest(path.stem, _names(registry)))
    raise ConfigError(f"no recipe is called {text}", hint=suggest(text, _names(registry)))


def not_installed(needs: Sequence[str]) -> list[str]:
    """Return the distributions that a recipe needs (``recipe.needs``) and that are not installed.

    >>> not_installed(["nemo-core", "nemo-nowhere"])
    ['nemo-nowhere']
    """
    missing = []
    for name in needs:
        try:
            importlib.metadata.version(str(name))
        except importlib.metadata.PackageNotFoundError:
            missing.append(str(name))
    return missing


def search_path(
    recipe: Recipe, *, config_dirs: Sequence[str | Path] = (), registry: Registry | None = None
) -> list[Path]:
    """Return the folders in which Hydra looks for what a recipe includes, the recipe's own first."""
    folders = [recipe.folder, *(Path(each).absolute() for each in config_dirs)]
    folders += [folder for _, _, folder in _packages(registry)]
    return list(dict.fromkeys([*folders, *module_folders(_CORE)]))


def _packages(registry: Registry | None) -> Iterator[tuple[str, str, Path]]:
    """Yield package, prefix and folder of everything registered."""
    if registry is None:
        from nemo_core.plugins import registry as process_registry

        registry = process_registry()
    for component in registry.components("recipes"):
        for folder in module_folders(component.target):
            yield component.target, str(component.metadata["prefix"]), folder


def _names(registry: Registry | None) -> list[str]:
    return [recipe.name for recipe in list_recipes(registry=registry)]


def _about(path: Path) -> Mapping[str, Any]:
    """Return the ``recipe:`` section of a file."""
    try:
        content = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError):
        return {}  # composing it says what is wrong with it; a list of the others must not suffer
    about = content.get("recipe") if isinstance(content, Mapping) else None
    return about if isinstance(about, Mapping) else {}
