"""``nemo plugins new``: a plugin project that works, to change into one's own."""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from nemo_core import __version__
from nemo_core.errors import PluginError
from nemo_core.plugins.manager import plugins

__all__ = ["create_project"]

#: What a distribution may be called (PEP 508).
_NAME = re.compile(r"[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]")


def create_project(name: str, folder: Path | None = None) -> Path:
    """Write a new plugin project.

    Args:
        name: Name of its distribution, such as ``nemo-birdsong``.
        folder: Where; by default a folder of that name in the current one.

    Returns:
        The folder.

    Raises:
        PluginError: The name cannot be used, or the folder is not empty.
    """
    values = {"name": name, **_names(name), "core_version": __version__}
    folder = Path(name) if folder is None else Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PluginError(f"{folder} exists and is not an empty folder", hint="choose another with --directory")
    for path, text in _files(resources.files("nemo_core.plugins") / "template", Path()):
        target = folder / _filled(str(path), values).removesuffix(".tmpl")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_filled(text, values), encoding="utf-8")
    return folder


def _names(name: str) -> dict[str, str]:
    """Return the import package of a distribution and the prefix of its components, if both can be had."""
    if not _NAME.fullmatch(name):
        raise PluginError(
            f"{name!r} cannot be the name of a distribution", hint="letters, digits and dashes: nemo-birds"
        )
    package = re.sub(r"[-_.]+", "_", name).lower()
    prefix = package.removeprefix("nemo_")
    for each in (package, prefix):
        if not each.isidentifier() or keyword.iskeyword(each):
            raise PluginError(f"{name} would need a Python package called {each}, which cannot be", hint="rename it")
    taken = next((c for c in plugins().registry.components() if re.match(rf"{prefix}(\W|$)", c.name)), None)
    if taken is not None:
        raise PluginError(f"{prefix} is taken by {taken.source}, which has {taken.name}", hint="choose another name")
    if importlib.util.find_spec(package) is not None:
        raise PluginError(f"a Python package called {package} is installed already", hint="choose another name")
    return {"package": package, "prefix": prefix}


def _files(source: Traversable, path: Path) -> list[tuple[Path, str]]:
    if source.is_file():
        return [(path, source.read_text(encoding="utf-8"))] if source.name.endswith(".tmpl") else []
    return [file for child in source.iterdir() for file in _files(child, path / child.name)]


def _filled(text: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        text = text.replace(f"{{{{{key}}}}}", value).replace(f"__{key}__", value)
    return text
