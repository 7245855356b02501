"""Graphs in YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from nemo_core._files import write_atomically
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_core.config import Trust

__all__ = ["read_yaml", "write_yaml"]

_T = TypeVar("_T")


def write_yaml(config: dict[str, Any], path: Path, *, overwrite: bool) -> Path:
    """Write a configuration; the file is complete or not there.

    Raises:
        ConfigError: The file exists and ``overwrite`` is false.
    """
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists", hint="pass overwrite=True to replace it")
    write_atomically(path, yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120))
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
