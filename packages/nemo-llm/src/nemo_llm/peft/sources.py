"""Adapters wherever they lie: our folders, those of the library peft, checkpoints of a training with adapters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nemo_core.errors import ArchiveError, ConfigError

if TYPE_CHECKING:
    from torch import nn

    from nemo_llm.models.config import ModelConfig

__all__ = ["AdapterSource", "find_adapter"]

_OURS, _THEIRS, _MANIFEST = "adapter.json", "adapter_config.json", "manifest.json"


@dataclass(frozen=True)
class AdapterSource:
    """An adapter that was found.

    Attributes:
        folder: Where.
        kind: ``nemo``: a folder of ours; ``peft``: of Hugging Face's library; ``checkpoint``: of a training.
        base: What it says that its model is, if it says so.
    """

    folder: Path
    kind: Literal["nemo", "peft", "checkpoint"]
    base: str | None

    def base_folder(self, given: str | Path | None = None) -> Path:
        """Return the folder of its model.

        Args:
            given: Folder that is taken instead of what the adapter says.

        Raises:
            ConfigError: The adapter says nothing, or there is nothing at that place.
        """
        if given is not None:
            return Path(given)
        if self.base is None:
            raise ConfigError(f"{self.folder} is an adapter, and does not say of which model", hint="name it: --base")
        if not Path(self.base).exists():
            raise ConfigError(
                f"{self.folder} is an adapter of {self.base}, which is not there", hint="say where it is: --base FOLDER"
            )
        return Path(self.base)

    def put_on(self, chunks: Sequence[nn.Module], config: ModelConfig) -> None:
        """Put the adapter on its model; all processes take part.

        Args:
            chunks: This process's parts of the model.
            config: Its architecture.

        Raises:
            ArchiveError: It does not fit.
        """
        from nemo_llm.peft.apply import apply_peft
        from nemo_llm.peft.files import load_adapter
        from nemo_llm.peft.hf import import_peft

        if self.kind == "nemo":
            load_adapter(self.folder, chunks, config=config)
        elif self.kind == "peft":
            import_peft(self.folder, chunks)
        else:
            from nemo_llm.megatron.checkpoint import load_model_folder, read_manifest

            apply_peft(chunks, read_manifest(self.folder).extra["peft"], base=self.base)
            load_model_folder(self.folder, chunks)


def find_adapter(path: str | Path) -> AdapterSource | None:
    """Return the adapter at ``path``: a folder with one, or a run or checkpoint that has trained one; else None.

    Raises:
        ArchiveError: Its description cannot be read.
    """
    path = Path(path)
    for folder in (path, path / "adapter"):
        if (folder / _OURS).is_file():
            return AdapterSource(folder, "nemo", _read(folder / _OURS).get("base"))
        if (folder / _THEIRS).is_file():
            return AdapterSource(folder, "peft", _read(folder / _THEIRS).get("base_model_name_or_path"))
    from nemo_llm.models.sources import find_folder

    try:
        folder = find_folder(path)
    except ConfigError:  # whoever looks for a model says so better
        return None
    if (folder / _MANIFEST).is_file():
        from nemo_llm.megatron.checkpoint import read_manifest

        extra = read_manifest(folder).extra or {}
        if "peft" in extra:
            return AdapterSource(folder, "checkpoint", extra.get("base"))
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}", hint="the file is damaged") from None
