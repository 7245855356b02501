"""Reading shards into a model and its optimizer, after making sure that they are what is wanted."""

from __future__ import annotations

import dataclasses
import io
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.dict_utils import extract_matching_values, nested_values
from megatron.core.dist_checkpointing.mapping import ShardedObject, ShardedTensor, apply_factories
from megatron.core.dist_checkpointing.strategies.base import LoadCommonStrategy, LoadShardedStrategy
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreLoadPlanner,
    _replace_sharded_keys_with_state_dict_keys,
    _replace_state_dict_keys_with_sharded_keys,
    _restore_dict_types,
    _unwrap_pyt_sharded_tensor,
    mcore_to_pyt_state_dict,
)
from torch.distributed.checkpoint import Metadata, TensorStorageMetadata, load
from torch.distributed.checkpoint.api import CheckpointException

from nemo_core.errors import ArchiveError, NemoError, UnsafeArchiveError
from nemo_core.training.checkpoint_folder import find_damage
from nemo_llm.megatron.checkpoint.agreement import agree, all_or_none, gather
from nemo_llm.megatron.checkpoint.manifest import WEIGHTS, Manifest, read_manifest
from nemo_llm.megatron.checkpoint.optimizer_state import MAIN, PREFIX
from nemo_llm.megatron.checkpoint.safety import (
    COMMON,
    SafeReader,
    check_common,
    check_objects,
    load_plain,
    read_metadata,
)

__all__ = ["open_folder", "read_into"]


def open_folder(path: Path, *, checksums: bool = True) -> tuple[Manifest, Metadata]:
    """Return what a model folder holds, once it is known to be whole and harmless; all processes call.

    Raises:
        ArchiveError: It is no model folder, or a file is missing, cut short or damaged.
        UnsafeArchiveError: Reading it would run code.
    """

    def check() -> tuple[Manifest, Metadata]:
        manifest = read_manifest(path)
        damage = find_damage(path, checksums=checksums)
        if damage is not None:
            raise ArchiveError(f"{path} is damaged: {damage}", hint="use another checkpoint, or copy it anew")
        folder = path / WEIGHTS
        metadata = read_metadata(folder)
        for info in metadata.storage_data.values():
            name, end = info.relative_path, info.offset + info.length
            if manifest.files.get(f"{WEIGHTS}/{name}", {}).get("size", -1) < end:
                raise ArchiveError(f"{path} is damaged: {folder / name} does not have what .metadata looks for in it")
        check_common(folder)
        check_objects(folder, metadata)
        return manifest, metadata

    return agree(check)


def read_into(
    state: dict[str, Any],
    path: Path,
    manifest: Manifest,
    metadata: Metadata,
    *,
    config: Any = None,
    strict: bool = True,
) -> dict[str, Any]:
    """Read the weights of a folder into the tensors of ``state``; all processes call.

    Args:
        state: Nested, with the engine's ``ShardedTensor`` for tensors; they are read into.
        path: The folder.
        manifest: Of :func:`open_folder`.
        metadata: Likewise.
        config: The model's architecture, for what is said when it does not fit.
        strict: Also refuse a folder that has weights which the model does not.

    Returns:
        Plain values of the folder, and ``state`` with tensors for ``ShardedTensor``.

    Raises:
        ArchiveError: It is of another architecture or optimizer.
    """
    described = metadata.state_dict_metadata
    _drop_missing_objects(state, described)
    _weights_for_main_weights(state, described)
    wanted = _wanted(state)
    same_vocabulary = config is None or getattr(config, "vocab_size", 0) == getattr(manifest.config, "vocab_size", 0)
    problems = _problems(wanted, described, same_vocabulary)
    everywhere = gather((problems, sorted({each.key for each in wanted})))
    problems = sorted({problem for found, _ in everywhere for problem in found})
    if strict:
        known = {key for _, keys in everywhere for key in keys}
        problems += [
            f"{key} is not in this model"
            for key, each in described.items()
            if isinstance(each, TensorStorageMetadata) and key not in known and not key.startswith(PREFIX)
        ]
    if problems:
        raise ArchiveError(
            "\n  ".join([f"{path} does not fit this model{_differences(manifest.config, config)}:", *_few(problems)]),
            hint="build the model of the folder's own architecture: read_manifest(path).config",
        )
    error: NemoError | None = None
    found: dict[str, Any] = {}
    try:
        found = dist_checkpointing.load(
            state,
            str(path / WEIGHTS),
            sharded_strategy=_Shards(metadata),
            common_strategy=_Plain(),
            validate_access_integrity=False,
        )
    except CheckpointException as failure:  # raised in all processes, with what each met
        causes = [each[0] if isinstance(each, tuple) else each for each in failure.failures.values()]
        error = _explained(path, causes[0] if causes else failure)
    except (RuntimeError, ValueError, KeyError, OSError) as failure:
        error = ArchiveError(f"{path} cannot be read: {type(failure).__name__}: {failure}")
    all_or_none(error)
    return found


def _explained(path: Path, cause: BaseException) -> NemoError:
    if isinstance(cause, NemoError):
        return cause
    reason = str(cause).strip().splitlines() or [type(cause).__name__]
    forbidden = re.search(r"GLOBAL (\S+)", str(cause)) if isinstance(cause, pickle.UnpicklingError) else None
    if forbidden:  # torch's restricted unpickler, at a tensor that is none
        return UnsafeArchiveError(
            f"{path} would run {forbidden[1]} when it is read", hint="do not trust where it comes from"
        )
    return ArchiveError(f"{path} cannot be read: {type(cause).__name__}: {reason[0]}")


def _wanted(state: Mapping[str, Any]) -> list[ShardedTensor]:
    copy, _ = extract_matching_values(dict(state), lambda _: True)
    apply_factories(copy)
    return [each for each in nested_values(copy) if isinstance(each, ShardedTensor)]


def _problems(wanted: Sequence[ShardedTensor], described: Mapping[str, Any], same_vocabulary: bool) -> list[str]:
    problems = set()
    for each in wanted:
        stored = described.get(each.key)
        if not isinstance(stored, TensorStorageMetadata):
            problems.add(f"{each.key} is not in the folder")
            continue
        there, here = list(stored.size), list(each.global_shape)
        # Rows that fill a vocabulary up depend on the layout.
        if there != here and not (each.allow_shape_mismatch and same_vocabulary and there[1:] == here[1:]):
            problems.add(f"{each.key} is {there} there and {here} here")
    return sorted(problems)


def _few(problems: list[str], most: int = 8) -> list[str]:
    rest = len(problems) - most
    return problems if rest <= 0 else [*problems[:most], f"and {rest} more"]


def _differences(stored: Any, config: Any) -> str:
    """Say in which values two architectures differ, if both are known."""
    if config is None or type(config) is not type(stored):
        return ""
    names = [each.name for each in dataclasses.fields(stored)]
    found = [
        f"{name} {getattr(stored, name)} there and {getattr(config, name)} here"
        for name in names
        if getattr(stored, name) != getattr(config, name)
    ]
    return f" ({', '.join(found[:6])})" if found else ""


def _drop_missing_objects(state: dict[str, Any], described: Mapping[str, Any]) -> None:
    """Leave out small objects that the folder has not: they are what the fp8 recipes of another machine keep."""
    for owner in [state, *(each for each in _dicts(state))]:
        for key, value in list(owner.items()):
            if isinstance(value, ShardedObject) and value.unique_key not in described:
                del owner[key]


def _weights_for_main_weights(state: dict[str, Any], described: Mapping[str, Any]) -> None:
    """Read main weights from the weights themselves where those were stored in full precision."""
    prefix = f"{PREFIX}{MAIN}."
    for each in nested_values(state):
        if isinstance(each, ShardedTensor) and each.key.startswith(prefix) and each.key not in described:
            each.key = each.key.removeprefix(prefix)


def _dicts(value: Any) -> list[dict[str, Any]]:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [each for each in below if isinstance(each, dict)]
    return found + [inner for each in below for inner in _dicts(each)]


class _Planner(MCoreLoadPlanner):
    """Keeps small objects in ``objects``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(flatten_state_dict=False, **options)
        self.objects: dict[str, Any] = {}

    def load_bytes(self, read_item: Any, value: io.BytesIO) -> None:
        self.objects[read_item.dest_index.fqn] = load_plain(value, read_item.dest_index.fqn)


class _Shards(LoadShardedStrategy):
    """As the engine's, but nothing is unpickled without restriction."""

    can_handle_sharded_objects = True

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata

    def load(self, sharded_state_dict: Any, checkpoint_dir: Any) -> Any:
        tensors = [each for each in nested_values(sharded_state_dict) if isinstance(each, ShardedTensor)]
        flat, mapping, renamed = _replace_state_dict_keys_with_sharded_keys(sharded_state_dict)
        state = mcore_to_pyt_state_dict(flat, True)
        planner = _Planner(
            shapes_validation_sharded_tensors=[each for each in tensors if not each.allow_shape_mismatch],
            allow_shape_mismatch_sharded_tensors={each.key: each for each in tensors if each.allow_shape_mismatch},
        )
        load(state, storage_reader=SafeReader(Path(checkpoint_dir), self.metadata), planner=planner)
        found = {key: _unwrap_pyt_sharded_tensor(value) for key, value in {**state, **planner.objects}.items()}
        nested = _replace_sharded_keys_with_state_dict_keys(found, mapping, renamed)
        _restore_dict_types(nested, sharded_state_dict)
        return nested

    def load_tensors_metadata(self, checkpoint_dir: Any) -> Any:
        raise NotImplementedError

    def check_backend_compatibility(self, loaded_backend: Any) -> None: ...

    def check_version_compatibility(self, loaded_version: Any) -> None: ...


class _Plain(LoadCommonStrategy):
    def load_common(self, checkpoint_dir: Any) -> Any:
        return load_plain(Path(checkpoint_dir) / COMMON, COMMON)

    def load_sharded_objects(self, sharded_objects_state_dict: Any, checkpoint_dir: Any) -> Any:
        raise NotImplementedError

    def check_backend_compatibility(self, loaded_backend: Any) -> None: ...

    def check_version_compatibility(self, loaded_version: Any) -> None: ...
