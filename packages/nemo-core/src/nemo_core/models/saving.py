"""Writing a model to an archive."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import torch

import nemo_core
from nemo_core.errors import ArchiveError, ConfigError
from nemo_core.models.archive import ARTIFACT_REFERENCE, write_archive
from nemo_core.models.weights import write_safetensors

if TYPE_CHECKING:
    from nemo_core.config.configured import Configured
    from nemo_core.models.model import Model

__all__ = ["save"]


def save(model: Model, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write ``model`` to an archive; see :meth:`nemo_core.models.Model.save`."""
    artifacts: dict[str, bytes] = {}

    def keep(owner: Configured, argument: str, content: bytes | Path) -> str:
        held = content if isinstance(content, bytes) else content.read_bytes()
        stem = name = _artifact_name(owner, argument)
        number = 1
        while artifacts.get(name, held) != held:
            number += 1
            name = f"{number}-{stem}"
        artifacts[name] = held
        return ARTIFACT_REFERENCE + name

    config = model.to_config(keep=keep)
    for where, value in _strings(config):
        if value.startswith(ARTIFACT_REFERENCE) and value.removeprefix(ARTIFACT_REFERENCE) not in artifacts:
            raise ArchiveError(
                f"{where} is {value!r}; in an archive, {ARTIFACT_REFERENCE} is how a file is referred to"
            )
    return write_archive(
        path,
        config=config,
        write_weights=lambda file: write_safetensors(model.state_dict(), file),
        artifacts=artifacts,
        components=_components(config),
        created_by={"nemo-core": nemo_core.__version__, "torch": torch.__version__},
        overwrite=overwrite,
    )


def _artifact_name(owner: Configured, argument: str) -> str:
    """Return a file name for an artifact: that of the file the argument named, or the argument's own."""
    try:
        value = owner.to_config().get(argument)
    except ConfigError:
        value = None  # made otherwise than by its class, as a tokenizer that was learned is; there never was a file
    name = PurePath(value).name if isinstance(value, str) else ""
    return re.sub(r"[^\w.-]", "_", name, flags=re.ASCII).lstrip(".")[-100:] or argument


def _strings(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and value of every string in a configuration."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(item, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, f"{where}[{index}]")


def _components(config: Mapping[str, Any]) -> tuple[Mapping[str, str | None], ...]:
    """Return what the configuration is made of: each target with the distribution and version that offer it."""
    from nemo_core.plugins import registry

    found: dict[str, Mapping[str, str | None]] = {}
    for where, target in _strings(config):
        if where.rpartition(".")[2] == "_target_" and target not in found:
            component = registry().find(target)
            found[target] = {
                "name": target,
                "distribution": component.distribution if component else None,
                "version": component.version if component else None,
            }
    return tuple(found.values())
