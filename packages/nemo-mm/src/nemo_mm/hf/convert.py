"""Which architecture a folder of transformers holds, and who reads and writes it."""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_core.cli.output import refuse_overwrite
from nemo_core.errors import ArchiveError, ConfigError, ExportError
from nemo_core.models import Model
from nemo_core.plugins.nearest import did_you_mean

if TYPE_CHECKING:
    import torch

__all__ = ["READERS", "WRITERS", "Imported", "archive_in", "export_archive", "export_hf", "import_archive", "import_hf"]

#: ``model_type`` of a config.json -> function (folder, config, tokenizer) that returns the model.
READERS: dict[str, str] = {
    "clip": "nemo_mm.hf.clip:read",
    "siglip": "nemo_mm.hf.siglip:read",
}

#: Import path of a model class -> function (model, folder) that fills the folder.
WRITERS: dict[str, str] = {
    "nemo_mm.models.contrastive.ContrastiveModel": "nemo_mm.hf.towers:write",
}


@dataclass(frozen=True)
class Imported:
    """What the command line says of a model that was taken over."""

    family: str
    num_parameters: int


def import_archive(
    source: Path,
    output: Path,
    *,
    dtype: torch.dtype | None = None,
    tokenizer: str | Path | None = None,
    overwrite: bool = False,
) -> Imported:
    """Take over a model folder as an archive (.nemo); what ``nemo mm import hf`` does with CLIP and SigLIP."""
    refuse_overwrite(output, overwrite)
    model = import_hf(source, tokenizer=tokenizer)
    if dtype is not None:
        model.to(dtype)
    model.save(output, overwrite=overwrite)
    kind = str(read_json(Path(source, "config.json"))["model_type"])
    return Imported(kind, sum(weight.numel() for weight in model.parameters()))


def archive_in(source: str | Path) -> Path | None:
    """Return the archive that ``source`` is, or that the folder of a run holds; None: it is something else.

    >>> archive_in("clip.nemo")
    PosixPath('clip.nemo')
    """
    inside = Path(source, "model.nemo")
    return inside if inside.is_file() else Path(source) if str(source).endswith(".nemo") else None


def export_archive(
    source: Path, output: Path, *, dtype: torch.dtype | None = None, overwrite: bool = False
) -> tuple[int, list[str]]:
    """Write the model of an archive as a folder of transformers; returns its number of weights, and what it lacks."""
    from nemo_core.models import restore

    refuse_overwrite(output, overwrite)
    model = restore(source)
    if dtype is not None:
        model.to(dtype)
    notes = export_hf(model, output, overwrite=overwrite)
    return sum(weight.numel() for weight in model.parameters()), notes


def import_hf(folder: str | Path, *, tokenizer: str | Path | None = None) -> Model:
    """Return the model of a folder that ``save_pretrained`` has written, or that was published so.

    Pickled weights are not read, and no code of the folder is run.

    Args:
        folder: With ``config.json``, safetensors files, and the files of tokenizer and image processor.
        tokenizer: Another file or folder with the tokenizer, where this one has none.

    Raises:
        ArchiveError: Files are missing or damaged, or the weights are not those of the configuration.
        ConfigError: It is an architecture that is not known here.
    """
    folder = Path(folder)
    config = read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind not in READERS:
        raise ConfigError(
            f"{folder / 'config.json'}: model_type is {kind!r}, which nemo-mm does not read",
            hint=did_you_mean(str(kind), READERS) or f"it reads {', '.join(sorted(READERS))}",
        )
    found: Model = _load(READERS[kind])(folder, config, tokenizer)
    return found.eval()


def export_hf(model: Model, folder: str | Path, *, overwrite: bool = False) -> list[str]:
    """Write a model as a folder that transformers loads; the folder appears whole, or not at all.

    Returns:
        What the folder lacks and why, in a sentence each; nothing as a rule.

    Raises:
        ExportError: The architecture has no words in transformers; says what does not fit.
        NemoError: The folder exists, and ``overwrite`` is not set.
    """
    folder = refuse_overwrite(Path(folder), overwrite)
    cls = type(model)
    writer = WRITERS.get(f"{cls.__module__}.{cls.__qualname__}")
    if writer is None:
        raise ExportError(f"{cls.__name__} is not a model that transformers has")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        notes: list[str] = _load(writer)(model, temporary)
        temporary.chmod(0o755)  # temporary folders are their maker's only
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return notes


def read_json(path: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """Return what a JSON file of a model folder holds.

    Raises:
        ArchiveError: It is missing or damaged.
    """
    if missing_ok and not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArchiveError(
            f"{path.parent} has no {path.name}", hint="give a folder as save_pretrained writes it"
        ) from None
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}", hint="download or copy it again") from None
    if not isinstance(values, dict):
        raise ArchiveError(f"{path} is not a JSON object", hint="download or copy it again")
    return values


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
