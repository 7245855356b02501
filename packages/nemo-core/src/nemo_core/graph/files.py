"""Graphs in YAML files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from nemo_core.config.configured import import_path
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_core.config import Trust
    from nemo_core.plugins import Registry

__all__ = ["read_yaml", "target_of", "write_yaml"]

_T = TypeVar("_T")


def write_yaml(config: dict[str, Any], path: Path, *, overwrite: bool) -> Path:
    """Write a configuration; the file is complete or not there.

    Raises:
        ConfigError: The file exists and ``overwrite`` is false.
    """
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists", hint="pass overwrite=True to replace it")
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def read_yaml(cls: type[_T], path: Path, trust: Trust | None) -> _T:
    """Build the object of class ``cls`` that a file describes.

    Raises:
        ConfigError: The file is missing, is no YAML, or describes something else.
        UntrustedTargetError: It names what is not trusted; nothing was imported.
    """
    from nemo_core.config import Trust, instantiate

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict) or "_target_" not in config:
        raise ConfigError(f"{path} describes no {cls.__name__}", hint="it needs _target_, nodes and connections")
    built = instantiate(config, trust=trust if trust is not None else Trust.user())
    if not isinstance(built, cls):
        raise ConfigError(f"{path} describes a {type(built).__name__}, not a {cls.__name__}")
    return built


def target_of(cls: type, registry: Registry | None) -> str:
    """Return what a configuration calls a class: its registered name, else its import path."""
    if registry is None:
        from nemo_core.plugins import registry as process_registry

        registry = process_registry()
    return registry.name_of(cls) or import_path(cls)
