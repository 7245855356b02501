"""Where weights to start from come from: a model folder of ours, or a Hugging Face model as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_core.errors import ConfigError

__all__ = ["Source", "find_folder", "load_source", "read_source"]


@dataclass(frozen=True)
class Source:
    """A folder with weights.

    Attributes:
        path: The folder.
        config: Architecture of the model in it.
        tokenizer: Folder of its tokenizer, if it has one.
    """

    path: Path
    config: Any
    tokenizer: Path | None


def find_folder(path: Path) -> Path:
    """Return the model folder at ``path``: itself, or the one that a run folder leads to.

    A run's ``model.dist`` is taken first, then its best checkpoint, then its last.

    Raises:
        ConfigError: There is none.
    """
    if not path.exists():
        raise ConfigError(f"{path} does not exist", hint="give a model folder, a run folder or a Hugging Face folder")
    if (path / "manifest.json").is_file() or (path / "config.json").is_file():
        return path
    candidates = [path / "model.dist"]
    for folder in (path / "checkpoints", path):
        candidates += sorted(folder.glob("best-*.ckpt"), key=lambda each: each.stat().st_mtime, reverse=True)
        candidates += [folder / "last.ckpt", folder / "last-previous.ckpt"]
    for candidate in candidates:
        if (candidate / "manifest.json").is_file():
            return candidate
    raise ConfigError(
        f"{path} holds no model",
        hint="give a model folder (manifest.json), a Hugging Face folder (config.json), or the folder of a run",
    )


def read_source(path: Path) -> Source:
    """Return what is at ``path``; reads no weights.

    Raises:
        ConfigError: There is no model, or it is of an unknown kind.
        ArchiveError: It is damaged.
    """
    folder = find_folder(path)
    if (folder / "manifest.json").is_file():
        from nemo_llm.megatron.checkpoint import read_manifest

        manifest = read_manifest(folder)
        return Source(folder, manifest.config, manifest.tokenizer)
    from nemo_llm.hf import check_hf

    return Source(folder, check_hf(folder)[0], folder)


def load_source(path: Path, chunks: Sequence[Any], config: Any) -> None:
    """Load the weights at ``path`` into this process's parts of a model; all processes take part."""
    if (path / "manifest.json").is_file():
        from nemo_llm.megatron.checkpoint import load_model_folder

        load_model_folder(path, chunks)
        return
    from nemo_llm.hf import load_hf

    load_hf(path, chunks, config)
