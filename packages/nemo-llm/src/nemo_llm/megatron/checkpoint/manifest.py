"""What a model folder says about itself, readable without the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nemo_core.errors import ArchiveError, NemoError
from nemo_core.training.checkpoint_folder import MANIFEST
from nemo_core.training.checkpoint_folder import read_manifest as read_any
from nemo_llm.megatron.layout import Layout
from nemo_llm.models.chunks import config_class, kinds

__all__ = ["FORMAT", "TOKENIZER", "WEIGHTS", "Manifest", "content_of", "read_manifest"]

FORMAT = "nemo-llm"
VERSION = 1
WEIGHTS = "weights"
TOKENIZER = "tokenizer"


@dataclass(frozen=True)
class Manifest:
    """What a model folder holds.

    Attributes:
        path: The folder.
        config: The architecture: a :class:`~nemo_llm.models.config.ModelConfig`, or that of another kind of model.
        layout: Of the processes that wrote it; any other can read it.
        step: Optimizer steps that were done; None if it was not trained here.
        optimizer: Whether the optimizer's state is there too.
        tokenizer: Folder of the tokenizer, if there is one.
        extra: What the writer added.
        files: Size and CRC-32 of each file, by its path in the folder.
    """

    path: Path
    config: Any
    layout: Layout
    step: int | None = None
    optimizer: bool = False
    tokenizer: Path | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)


def content_of(
    config: Any, layout: Layout, *, step: int | None, optimizer: bool, extra: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what a manifest says besides the files."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": _kind(config),
        "architecture": config.to_dict(),
        "layout": layout.to_dict(),
        "step": step,
        "optimizer": optimizer,
        "extra": dict(extra or {}),
    }


def _kind(config: Any) -> str:
    name = type(config).__name__
    if name not in kinds() or type(config) is not config_class(name):
        raise ArchiveError(f"{name} is no architecture that a manifest can name")
    return name


def read_manifest(path: str | Path) -> Manifest:
    """Return what a model folder says about itself.

    Raises:
        ArchiveError: It is no model folder, damaged, or of a later version.
    """
    path = Path(path)
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise ArchiveError(f"{path} {what}; a model is a folder with {MANIFEST}")
    if not (path / MANIFEST).exists() and (path / "config.json").exists():
        raise ArchiveError(
            f"{path} is a folder of transformers", hint=f"nemo llm import {path} -o OUTPUT makes a model folder of it"
        )
    content = read_any(path)
    if content.get("format") != FORMAT:
        raise ArchiveError(f"{path} is no model of nemo-llm: its {MANIFEST} has format {content.get('format')!r}")
    if content.get("version") != VERSION:
        raise ArchiveError(
            f"{path} is of version {content.get('version')!r}, and this nemo-llm reads version {VERSION}",
            hint="pip install --upgrade nemo-llm",
        )
    step, extra = content.get("step"), content.get("extra") or {}
    if not (step is None or isinstance(step, int)) or not isinstance(extra, dict):
        raise ArchiveError(f"{path / MANIFEST}: step or extra are not what they should be")
    tokenizer = path / TOKENIZER
    try:
        return Manifest(
            path=path,
            config=_config(content.get("kind"), content.get("architecture")),
            layout=Layout.from_dict(content.get("layout") or {}),
            step=step,
            optimizer=bool(content.get("optimizer")),
            tokenizer=tokenizer if tokenizer.is_dir() else None,
            extra=extra,
            files=content["files"],
        )
    except (NemoError, TypeError, ValueError, AttributeError) as error:
        reason = error.message if isinstance(error, NemoError) else f"{type(error).__name__}: {error}"
        raise ArchiveError(f"{path / MANIFEST}: the architecture cannot be used: {reason}") from error


def _config(kind: Any, values: Any) -> Any:
    """Build a configuration; the manifest chooses among known kinds, it never names code."""
    if kind not in kinds():
        raise ArchiveError(f"there is no kind of model {kind!r}", hint="is the package installed that it is of?")
    if not isinstance(values, Mapping):
        raise ArchiveError("there is no architecture")
    return config_class(kind).from_dict(values)
