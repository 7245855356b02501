"""What is stored of a model: which part of which global tensor each weight of this process is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from megatron.core.dist_checkpointing.dict_utils import nested_values
from megatron.core.dist_checkpointing.mapping import ShardedTensor, ShardedTensorFactory
from torch import Tensor
from torch.distributed.tensor import DTensor

from nemo_core.errors import TrainingError
from nemo_llm.megatron.checkpoint.blocks import blocks
from nemo_llm.peft.apply import adapter_note, is_adapter_key

__all__ = ["ModelState", "describe", "local", "parts_of", "stretch_of"]

# Each layer under its own number: models whose layers differ are stored as those whose layers are alike.
_METADATA = {"non_homogeneous_layers": True}


@dataclass
class ModelState:
    """What is stored of the parts of a model that a process has.

    Attributes:
        tensors: Part -> name of a weight -> what the engine reads and writes for it.
        described: ``id`` of a weight -> its place in the global tensor, as if this process had all of its stretch.
        in_place: (part, name) of weights that are read where they are.
        weights: Keys of the global tensors that only an optimizer changes; other tensors may change in a forward pass.
    """

    tensors: dict[str, dict[str, Any]] = field(default_factory=dict)
    described: dict[int, Any] = field(default_factory=dict)
    in_place: set[tuple[str, str]] = field(default_factory=set)
    weights: set[str] = field(default_factory=set)


def describe(chunks: Sequence[Any]) -> ModelState:
    """Return what is stored of the parts of a model, as the engine says.

    Weights that FSDP divides are stored as what they are parts of; how the engine counts them holds only where they
    divide evenly. Of a model with adapters these are stored, and what is trained beside them: the rest is as it was in
    what the model was made from.
    """
    found = ModelState()
    for number, chunk in enumerate(chunks):
        part = f"model{number}"
        tensors = chunk.sharded_state_dict(metadata=dict(_METADATA))
        if adapter_note(chunk) is not None:
            trained = _trained(chunk)
            tensors = {name: each for name, each in tensors.items() if is_adapter_key(name) or name in trained}
        found.tensors[part] = tensors
        for name, weight in chunk.state_dict(keep_vars=True).items():
            described = tensors.get(name)
            if not isinstance(described, (ShardedTensor, ShardedTensorFactory)):
                continue
            if isinstance(weight, DTensor):
                described = _undivided(described, weight)
                tensors[name] = list(parts_of(described, local(weight).detach(), *stretch_of(weight)))
                found.in_place.add((part, name))
            found.described[id(weight)] = described
            if isinstance(weight, torch.nn.Parameter):
                found.weights.add(described.key)
    return found


def _trained(chunk: Any) -> set[str]:
    """Return the names of the weights that are trained, and of what changes beside them, such as batch norm's means."""
    found = {name for name, weight in chunk.named_parameters() if weight.requires_grad}
    for place, module in chunk.named_modules():
        if any(weight.requires_grad for weight in module.parameters(recurse=False)):
            found |= {f"{place}.{name}".lstrip(".") for name, _ in module.named_buffers(recurse=False)}
    return found


def _undivided(described: Any, weight: DTensor) -> Any:
    """Return what the engine would say of a weight if FSDP did not divide it."""
    if isinstance(described, ShardedTensorFactory):
        # Without tensor parallelism (with which the strategy does not divide by FSDP) the parts of a gated feed-forward
        # part lie one behind the other, in the weight as in the file.
        described = next(iter(nested_values(described.build())))
    axes = described.prepend_axis_num
    return ShardedTensor(
        key=described.key,
        data=None,
        dtype=weight.dtype,
        local_shape=tuple(weight.shape),
        global_shape=(*described.global_shape[:axes], *weight.shape),
        global_offset=(*described.global_offset[:axes], *(0 for _ in weight.shape)),
        axis_fragmentations=None,
        replica_id=(0, 0, 0),
        prepend_axis_num=axes,
        allow_shape_mismatch=described.allow_shape_mismatch,
    )


def stretch_of(weight: Tensor) -> tuple[int, int]:
    """Return which elements of the flattened weight this process has: (first, one after the last)."""
    if not isinstance(weight, DTensor):
        return 0, weight.numel()
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    if any(not each.is_shard(0) for each in weight.placements):
        raise TrainingError("only weights that are divided along their first dimension can be stored")
    shape, offset = compute_local_shape_and_global_offset(weight.shape, weight.device_mesh, weight.placements)
    row, count = math.prod(weight.shape[1:]), math.prod(shape)
    start = offset[0] * row if count else 0
    return start, start + count


def parts_of(
    described: Any, tensor: Tensor, start: int, stop: int, *, prefix: str = "", replica: Any = None
) -> Iterator[ShardedTensor]:
    """Yield elements ``start`` to ``stop`` of something that has the shape of a weight, as parts of the global tensor.

    Args:
        described: What the engine says of the weight.
        tensor: The elements, in order.
        start: The first.
        stop: The one after the last.
        prefix: Of the key.
        replica: Which copy it is; None: as the weight.
    """
    if isinstance(described, ShardedTensorFactory):
        # How the weight is taken apart is asked of a tensor without content: views know where they begin.
        whole = torch.empty(described.data.shape, dtype=tensor.dtype, device="meta")
        pieces = list(nested_values(dataclasses.replace(described, data=whole).build()))
        for piece in pieces:
            if not isinstance(piece, ShardedTensor) or piece.data is None or not piece.data.is_contiguous():
                raise TrainingError(f"{described.key} cannot be divided as it is stored")
        placed = [(piece, piece.data.storage_offset()) for piece in pieces]
    else:
        placed = [(described, 0)]
    flat = tensor.view(-1)
    for piece, offset in placed:
        shape, axes = tuple(piece.local_shape), piece.prepend_axis_num
        low, high = max(start, offset), min(stop, offset + math.prod(shape))
        for element, offsets, sizes in blocks(shape, low - offset, high - offset):
            first = element + offset - start
            block = (1,) * axes + sizes
            yield ShardedTensor(
                key=prefix + piece.key,
                data=flat[first : first + math.prod(sizes)].view(block),
                dtype=tensor.dtype,
                local_shape=block,
                global_shape=tuple(piece.global_shape),
                global_offset=tuple(
                    a + b for a, b in zip(piece.global_offset, (0,) * axes + tuple(offsets), strict=True)
                ),
                axis_fragmentations=None,
                replica_id=piece.replica_id if replica is None else replica,
                allow_shape_mismatch=piece.allow_shape_mismatch,
            )


def local(tensor: Any) -> Any:
    """Return what this process has of a tensor."""
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor
