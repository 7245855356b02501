"""Folders with the weights of an adapter and nothing else.

``adapter.json`` says what the adapter is and of which model, ``adapter.safetensors`` holds whole matrices, named after
layer and projection: ``layers.0.self_attention.linear_q.lora_a`` is (rank, in). A folder is read into any layout.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from nemo_core.errors import ArchiveError, ConfigError, NemoError
from nemo_llm.peft.adapter import LowRank, matrix_kind
from nemo_llm.peft.apply import adapted, adapter_note, apply_peft
from nemo_llm.peft.spec import LoRA, parse_spec

if TYPE_CHECKING:
    from nemo_llm.models.config import ModelConfig

__all__ = [
    "CONFIG_FILE",
    "WEIGHTS_FILE",
    "AdapterFolder",
    "gather_adapter",
    "load_adapter",
    "place_adapter",
    "read_adapter",
    "save_adapter",
    "whole_folder",
    "whole_path",
]

CONFIG_FILE, WEIGHTS_FILE = "adapter.json", "adapter.safetensors"
_FORMAT, _VERSION = "nemo-llm-adapter", 1


@dataclass(frozen=True)
class AdapterFolder:
    """What a folder says.

    Attributes:
        spec: Settings of the adapter.
        base: Path of the model that it belongs to, if it is known.
        architecture: Of that model, as plain values.
        weights: Name -> whole tensor.
    """

    spec: LoRA
    base: str | None
    architecture: Mapping[str, Any] | None
    weights: Mapping[str, Tensor]


def save_adapter(
    folder: str | Path,
    chunks: Sequence[nn.Module] | nn.Module,
    *,
    base: str | Path | None = None,
    config: ModelConfig | None = None,
    overwrite: bool = True,
) -> Path:
    """Write the adapter of a model; every process takes part, the first writes. The folder is whole or not there.

    Args:
        folder: Where to.
        chunks: This process's parts of the model.
        base: What the model was made from; kept as a note.
        config: Its architecture, so that an adapter is not put on another.
        overwrite: Replace a folder that is there.

    Returns:
        The folder.

    Raises:
        ConfigError: The model has no adapter.
    """
    from safetensors.torch import save_file

    known = adapter_note(chunks)
    if known is None:
        raise ConfigError("the model has no adapter to save", hint="apply_peft(model, 'lora') first")
    weights = gather_adapter(chunks)
    if distributed.get_rank() == 0:
        note = {
            "format": _FORMAT,
            "version": _VERSION,
            "peft": known.spec.to_dict(),
            "base": known.base if base is None else whole_path(base),
            "architecture": None if config is None else config.to_dict(),
        }
        with whole_folder(Path(folder), overwrite=overwrite) as temporary:
            save_file({name: value.contiguous() for name, value in weights.items()}, temporary / WEIGHTS_FILE)
            (temporary / CONFIG_FILE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    distributed.barrier()
    return Path(folder)


def read_adapter(folder: str | Path) -> AdapterFolder:
    """Read a folder that :func:`save_adapter` has written.

    Raises:
        ArchiveError: It is none, is damaged, or is of a newer format.
    """
    folder = Path(folder)
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise ArchiveError(
            f"{folder} is no adapter: it has no {CONFIG_FILE}",
            hint="give the folder `adapter` that a training with peft writes; "
            "an adapter of the library peft is read by import_peft",
        )
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        kind, version, settings = note["format"], note["version"], note["peft"]
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}", hint="the file is damaged") from None
    if kind != _FORMAT or not isinstance(version, int):
        raise ArchiveError(f"{path} is no description of an adapter: format is {kind!r}")
    if version > _VERSION:
        raise ArchiveError(f"{path} is of format {version}, and this version reads up to {_VERSION}", hint="upgrade")
    return AdapterFolder(
        spec=parse_spec(settings),
        base=note.get("base"),
        architecture=note.get("architecture"),
        weights=read_weights(folder / WEIGHTS_FILE),
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        ArchiveError: It is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ArchiveError(f"{path.parent} has no {path.name}", hint="the folder is incomplete: copy it again")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}", hint="the file is damaged: copy it again") from None


def load_adapter(
    folder: str | Path, chunks: Sequence[nn.Module] | nn.Module, *, config: ModelConfig | None = None
) -> LoRA:
    """Put the adapter of a folder on a model; one that the model has already is filled with the folder's weights.

    Args:
        folder: Of :func:`save_adapter`.
        chunks: This process's parts of the model.
        config: The model's architecture; it is compared with that of the adapter's model.

    Raises:
        ArchiveError: The folder cannot be read, or does not fit the model.
        ConfigError: The model has another adapter.
    """
    found = read_adapter(folder)
    if config is not None and found.architecture is not None and dict(found.architecture) != config.to_dict():
        mine = config.to_dict()
        different = [key for key in {**mine, **found.architecture} if mine.get(key) != found.architecture.get(key)]
        raise ArchiveError(
            f"{folder} belongs to another model: {', '.join(different)} differ",
            hint=f"it was trained on {found.base}" if found.base else None,
        )
    place_adapter(chunks, found.spec, found.weights, str(folder), found.base)
    return found.spec


def place_adapter(
    chunks: Sequence[nn.Module] | nn.Module,
    spec: LoRA,
    weights: Mapping[str, Tensor],
    where: str,
    base: str | None = None,
) -> None:
    """Give a model an adapter with these whole weights, each process its part; see :func:`load_adapter`."""
    known = adapter_note(chunks)
    if known is None:
        apply_peft(chunks, spec, base=base)
    elif known.spec.to_dict() != spec.to_dict():
        raise ConfigError(
            f"the model has another adapter than {where}", hint="merge(model) or take_off(model), and load it then"
        )
    mine = set()
    problem: str | None = None
    for name, matrix, parameter, axis in _parameters(chunks):
        mine.add(name)
        whole, parts = weights.get(name), 1 if axis is None else matrix.tp_group.size()
        needed = [size * (parts if place == axis else 1) for place, size in enumerate(parameter.shape)]
        if whole is None:
            problem = problem or f"{where} has no {name}"
        elif list(whole.shape) != needed:
            problem = problem or f"{where}: {name} is {list(whole.shape)}, and the model needs {needed}"
        else:
            piece = whole if axis is None else whole.chunk(parts, axis)[matrix.tp_group.rank()]
            parameter.data.copy_(piece)
    everywhere = _all((mine, problem))  # so that all processes stop where one does
    problem = next((each for _, each in everywhere if each is not None), None)
    if problem is None and (unknown := sorted(set(weights) - set().union(*(names for names, _ in everywhere)))):
        problem = f"{where} has weights for what the model has not: {', '.join(unknown[:3])}"
    if problem is not None:
        raise ArchiveError(problem, hint="the adapter belongs to another model, or is damaged")


def gather_adapter(chunks: Sequence[nn.Module] | nn.Module) -> dict[str, Tensor]:
    """Return the whole weights of a model's adapter by name, in the first process; nothing in the others."""
    from megatron.core import parallel_state

    found: dict[str, Tensor] = {}
    for name, matrix, parameter, axis in _parameters(chunks):
        value, group = parameter.detach(), matrix.tp_group
        if axis is not None and group.size() > 1:
            pieces = [torch.empty_like(value) for _ in range(group.size())]
            distributed.all_gather(pieces, value.contiguous(), group=group)
            value = torch.cat(pieces, axis)
        replica = (
            parallel_state.get_expert_data_parallel_rank()
            if matrix.is_expert
            else parallel_state.get_data_parallel_rank(with_context_parallel=True)
        )
        if group.rank() == 0 and replica == 0:
            found[name] = value.cpu()
    if distributed.get_world_size() == 1:
        return found
    everywhere: list[Any] | None = [None] * distributed.get_world_size() if distributed.get_rank() == 0 else None
    distributed.gather_object(found, everywhere)
    return {name: value for each in everywhere or () for name, value in each.items()}


def whole_path(base: str | Path) -> str:
    """Return what a note says of where a model is: the whole path, if there is something."""
    return str(Path(base).resolve()) if Path(base).exists() else str(base)


class whole_folder:  # noqa: N801 - reads as a verb
    """Write a folder beside its place, and put it there when the block ends; what was there is replaced then.

    Args:
        folder: Its place.
        overwrite: Replace what is there.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False) -> None:
        self.folder, self.overwrite = folder, overwrite
        self.temporary = folder.with_name(f".{folder.name}.{os.getpid()}")

    def __enter__(self) -> Path:
        if self.folder.exists() and not self.overwrite:
            raise NemoError(f"{self.folder} exists already", hint="choose another folder, or replace it: --overwrite")
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir(parents=True)
        return self.temporary

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self.temporary, ignore_errors=True)
            return
        old = self.folder.with_name(f"{self.temporary.name}.old")
        if self.folder.exists():
            os.replace(self.folder, old)
        os.replace(self.temporary, self.folder)
        shutil.rmtree(old, ignore_errors=True)


def _parameters(chunks: Sequence[nn.Module] | nn.Module) -> list[tuple[str, Any, nn.Parameter, int | None]]:
    """Return name, matrix, parameter, and the dimension that is divided among processes, of each part of an adapter."""
    found = []
    for name, matrix in adapted(chunks):
        stem = name.rpartition(".")[0]
        axes = {"lora_b": 0, "magnitude": 0} if matrix_kind(matrix) == "column" else {"lora_a": 1}
        for part, low_rank in matrix.adapter.pairs():
            assert isinstance(low_rank, LowRank)
            for key, parameter in low_rank.named_parameters():
                found.append((f"{stem}.{part}.{key}", matrix, parameter, axes.get(key)))
    return found


def _all(value: Any) -> list[Any]:
    everywhere: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everywhere, value)
    return everywhere
