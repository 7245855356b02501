"""Writing the shards of one process: in the format of the engine's ``torch_dist``, at once or from a copy, later."""

from __future__ import annotations

import contextlib
import os
import pickle
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.strategies.base import SaveShardedStrategy
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreSavePlanner,
    _replace_state_dict_keys_with_sharded_keys,
    mcore_to_pyt_state_dict,
)
from torch import Tensor, distributed
from torch.distributed.checkpoint import Metadata
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import MetadataIndex

from nemo_core.errors import TrainingError
from nemo_llm.megatron.checkpoint.agreement import agree, gather
from nemo_llm.megatron.checkpoint.copies import Copies
from nemo_llm.megatron.checkpoint.safety import METADATA

__all__ = ["Shards", "Written", "complete", "plan"]


@dataclass
class Written:
    """What a process has written.

    Attributes:
        places: Where each part of a tensor lies.
        files: Size and CRC-32 of its files, by name.
    """

    places: dict[MetadataIndex, _StorageInfo] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Shards:
    """What a process is to write.

    Attributes:
        folder: Where.
        name: Of its file.
        items: (which part of which tensor, its content).
        metadata: What tensors there are; in the first process only.
    """

    folder: Path
    name: str
    items: list[tuple[MetadataIndex, Tensor | BytesIO]]
    metadata: Metadata | None

    def write(self) -> Written:
        """Write the file and flush it to disk.

        Raises:
            OSError: It cannot be written.
        """
        done = Written()
        if not self.items:
            return done
        with (self.folder / self.name).open("wb") as file:
            counted: Any = _Counted(file)
            for index, content in self.items:
                start = counted.size
                if isinstance(content, BytesIO):
                    counted.write(content.getbuffer())
                else:
                    torch.save(_alone(content), counted)
                done.places[index] = _StorageInfo(self.name, start, counted.size - start)
            file.flush()
            os.fsync(file.fileno())
        done.files[self.name] = {"size": counted.size, "crc32": f"{counted.checksum:08x}"}
        return done

    def finish(self, all_written: list[Written]) -> None:
        """Write ``.metadata``, from what all processes have written; the first one does."""
        assert self.metadata is not None
        self.metadata.storage_data = {index: place for each in all_written for index, place in each.places.items()}
        with (self.folder / METADATA).open("wb") as file:
            pickle.dump(self.metadata, file)
            file.flush()
            os.fsync(file.fileno())


class _Counted:
    """A file that knows size and checksum of what went through it."""

    def __init__(self, file: Any) -> None:
        self._file, self.size, self.checksum = file, 0, 0

    def write(self, content: Any) -> int:
        count = memoryview(content).nbytes
        self._file.write(content)
        self.checksum = zlib.crc32(content, self.checksum)
        self.size += count
        return count

    def flush(self) -> None:
        self._file.flush()


def _alone(tensor: Tensor) -> Tensor:
    """Return the tensor on the CPU with storage of its own: ``torch.save`` writes whole storages."""
    tensor = tensor.detach().cpu()
    whole = tensor.untyped_storage().size() == tensor.numel() * tensor.itemsize
    return tensor if whole else tensor.clone(memory_format=torch.contiguous_format)


class _Plan(SaveShardedStrategy):
    """Hands the engine's plan of a save out instead of carrying it out."""

    can_handle_sharded_objects = True

    def __init__(self, copies: Copies | None, steady: Collection[str]) -> None:
        super().__init__("torch_dist", 1)
        self.copies, self.steady = copies, steady
        self.shards: Shards | None = None

    def save(self, sharded_state_dict: Any, checkpoint_dir: Any) -> None:
        flat, _, _ = _replace_state_dict_keys_with_sharded_keys(sharded_state_dict, keep_only_main_replica=True)
        state = mcore_to_pyt_state_dict(flat, False)
        planner = MCoreSavePlanner(dedup_replicated_tensors=False, flatten_state_dict=False)
        planner.set_up_planner(state, is_coordinator=_rank() == 0)
        local = planner.create_local_plan()
        plans = gather(local)
        made: list[Metadata] = []

        def check() -> None:
            made.append(planner.create_global_plan(plans)[1])

        agree(check)
        contents = {item.index: planner.resolve_data(item) for item in local.items}
        if self.copies is not None:
            tensors = {index: each.detach() for index, each in contents.items() if isinstance(each, Tensor)}
            later = {index for index in tensors if index.fqn in self.steady}
            contents.update(self.copies.begin(tensors, later))
        self.shards = Shards(
            Path(checkpoint_dir), f"__{_rank()}_0.distcp", list(contents.items()), made[0] if made else None
        )


def plan(state: dict[str, Any], folder: Path, copies: Copies | None = None, steady: Collection[str] = ()) -> Shards:
    """Plan a save of ``state`` with the other processes; plain values in it are written at once, by the first one.

    Args:
        state: Nested, with the engine's ``ShardedTensor`` for tensors.
        folder: An empty folder.
        copies: Copy tensors, since they will change before they are written.
        steady: Keys of tensors that only a step of the optimizer changes.
    """
    strategy = _Plan(copies, steady)
    dist_checkpointing.save(state, str(folder), sharded_strategy=strategy, validate_access_integrity=False)
    assert strategy.shards is not None
    return strategy.shards


def complete(shards: Shards, group: Any, publish: Any) -> None:
    """Write this process's shards; when all have, the first one calls ``publish(files)``.

    Raises:
        TrainingError: Somebody could not; in all processes.
    """
    problem, written = None, Written()
    try:
        written = shards.write()
    except Exception as error:
        problem = f"process {_rank()}: {type(error).__name__}: {error}"
    answers = gather((problem, written), group=group)
    problems = [each for each, _ in answers if each]
    if not problems:

        def finish() -> str | None:
            try:
                shards.finish([each for _, each in answers])
                publish({name: facts for _, each in answers for name, facts in each.files.items()})
            except Exception as error:
                return f"process 0: {type(error).__name__}: {error}"
            return None

        found = agree(finish, group=group)
        problems = [found] if found else []
    if problems:
        with contextlib.suppress(OSError):
            (shards.folder / shards.name).unlink(missing_ok=True)
        raise TrainingError(
            f"the checkpoint was not written: {'; '.join(problems)}",
            hint="is the disk full, or the folder not writable? the checkpoints before it are still there",
        )


def _rank() -> int:
    return distributed.get_rank()
