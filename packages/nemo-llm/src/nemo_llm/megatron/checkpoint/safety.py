"""Reading what the engine and torch keep as pickles, without running what a pickle says.

Three kinds of pickle are in a folder of weights: ``.metadata`` (which part of which tensor lies where), ``common.pt``
(plain values) and, inside the shards, tensors and small objects as ``torch.save`` writes them. The engine would
unpickle the first and the last kind without restriction. Here the first is read by an unpickler that knows a dozen
names, and the others with torch's restricted one (``weights_only``).
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint import BytesStorageMetadata, FileSystemReader, Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.metadata import _MEM_FORMAT_ENCODING

from nemo_core.errors import ArchiveError, UnsafeArchiveError
from nemo_core.models.pickle_scan import unsafe_globals

__all__ = ["COMMON", "METADATA", "SafeReader", "check_common", "check_objects", "load_plain", "read_metadata"]

METADATA = ".metadata"
COMMON = "common.pt"
_LARGEST = 2 << 30
# What ``.metadata`` is made of: dataclasses of numbers and names, no more.
_ALLOWED = {
    "collections": {"OrderedDict"},
    "torch": {"Size", "device"}
    | {str(each).removeprefix("torch.") for each in vars(torch).values() if isinstance(each, torch.dtype)},
    "torch.serialization": {"_get_layout"},
    "torch.distributed.checkpoint.metadata": {
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):
            return _member
        if name not in _ALLOWED.get(module, ()):
            raise UnsafeArchiveError(f"{module}.{name}")
        return super().find_class(module, name)


def _member(owner: Any, name: Any) -> Any:
    """Stand in for ``getattr``, by which Python 3.11.0 to 3.11.3 pickle the members of enumerations."""
    if owner is not _MEM_FORMAT_ENCODING or name not in _MEM_FORMAT_ENCODING.__members__:
        raise UnsafeArchiveError("builtins.getattr")
    return _MEM_FORMAT_ENCODING[name]


def read_metadata(folder: Path) -> Metadata:
    """Return where the shards in ``folder`` have what.

    Raises:
        UnsafeArchiveError: The file names code, or files outside the folder.
        ArchiveError: It is missing or damaged.
    """
    path = folder / METADATA
    try:
        if path.stat().st_size > _LARGEST:
            raise ArchiveError(f"{path} is {path.stat().st_size:,} bytes")
        with path.open("rb") as file:
            metadata: Metadata = _Unpickler(file).load()
    except UnsafeArchiveError as error:
        raise UnsafeArchiveError(
            f"{path} would run {error.message} when it is read; nothing of it was used",
            hint="do not trust where it comes from",
        ) from None
    except ArchiveError:
        raise
    except FileNotFoundError:
        raise ArchiveError(f"{path} is missing: the save was not finished") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise ArchiveError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    _check_shape(metadata, path)
    return metadata


def _check_shape(metadata: Any, path: Path) -> None:
    """Make sure that the pickle holds what the engine takes for granted."""
    described = getattr(metadata, "state_dict_metadata", None)
    stored = getattr(metadata, "storage_data", None)
    if not isinstance(metadata, Metadata) or not isinstance(described, dict) or not isinstance(stored, dict):
        raise ArchiveError(f"{path} is no description of shards")
    if not all(isinstance(each, (TensorStorageMetadata, BytesStorageMetadata)) for each in described.values()):
        raise ArchiveError(f"{path} is no description of shards")
    for info in stored.values():
        name = getattr(info, "relative_path", None)
        numbers = (getattr(info, "offset", None), getattr(info, "length", None))
        if not isinstance(name, str) or not all(isinstance(each, int) and each >= 0 for each in numbers):
            raise ArchiveError(f"{path} is no description of shards")
        if Path(name).name != name or getattr(info, "transform_descriptors", None):
            raise UnsafeArchiveError(f"{path} names {name!r}, which is no shard in its folder")


class SafeReader(FileSystemReader):
    """torch's reader of shards, over metadata that :func:`read_metadata` has returned."""

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        super().__init__(folder)
        self._metadata = metadata

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Return the metadata that is known already; nothing is unpickled."""
        return self._metadata


def load_plain(source: Path | io.BytesIO, where: str) -> Any:
    """Return what ``torch.save`` has written, if it is tensors and plain values.

    Raises:
        UnsafeArchiveError: It would run code.
        ArchiveError: It is missing or damaged.
    """
    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ArchiveError(f"{where} is missing") from None
    except Exception as error:
        content = source.read_bytes() if isinstance(source, Path) else source.getvalue()
        found = unsafe_globals(memoryview(content), where)
        if found:
            raise UnsafeArchiveError(
                f"{where} would run {', '.join(found)} when it is read; nothing of it was used",
                hint="do not trust where it comes from",
            ) from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArchiveError(f"{where} is damaged: {reason}") from error


def check_common(folder: Path) -> None:
    """Refuse plain values that are none."""
    load_plain(folder / COMMON, str(folder / COMMON))


def check_objects(folder: Path, metadata: Metadata) -> None:
    """Refuse shards with objects in them that are no plain values; tensors are read with restrictions anyway."""
    described: Mapping[str, Any] = metadata.state_dict_metadata
    for index, info in metadata.storage_data.items():
        if isinstance(described.get(index.fqn), TensorStorageMetadata):
            continue
        path = folder / info.relative_path
        with path.open("rb") as file:
            file.seek(info.offset)
            content = file.read(min(info.length, _LARGEST))
        load_plain(io.BytesIO(content), f"{path} ({index.fqn})")
