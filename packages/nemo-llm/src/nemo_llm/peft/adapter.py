"""Low-rank adapters on Megatron-core's parallel matrices: what they compute, and how they are divided among processes.

A matrix that becomes :class:`Adapted` keeps its own weights under their own names, so whatever reads or writes those
needs not know of adapters. Its input meets ``A`` before the engine gathers or copies it, so that what travels between
the processes of tensor parallelism is as narrow as the rank.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from nemo_core.errors import ConfigError
from nemo_llm.peft.spec import PARTS, LoRA

__all__ = ["Adapted", "Adapter", "LowRank", "adapt", "matrix_kind", "part_names", "restore_class"]


class LowRank(nn.Module):
    """The adapter of one projection, as this process holds it.

    Args:
        lora_a: (rank, in).
        lora_b: (out, rank).
        scale: What the product is multiplied by.
        magnitude: (out), lengths of the rows of the adapted matrix (DoRA).
    """

    def __init__(self, lora_a: Tensor, lora_b: Tensor, scale: float, magnitude: Tensor | None = None) -> None:
        super().__init__()
        self.lora_a = nn.Parameter(lora_a)
        self.lora_b = nn.Parameter(lora_b)
        self.scale = scale
        if magnitude is None:
            self.register_parameter("magnitude", None)
        else:
            self.magnitude = nn.Parameter(magnitude)


class Adapter(nn.ModuleDict):
    """The adapters of all projections that a matrix holds.

    Args:
        parts: Name of a projection -> its adapter.
        spec: Dropout, and whether it is DoRA.
    """

    def __init__(self, parts: dict[str, LowRank], spec: LoRA) -> None:
        super().__init__(parts)
        self.spec = spec

    def pairs(self) -> list[tuple[str, LowRank]]:
        """Return names and adapters."""
        return [(name, cast(LowRank, part)) for name, part in self.items()]


class Adapted:
    """What an adapted matrix does besides; mixed into the class of the matrix (see :func:`adapt`)."""

    adapter: Adapter

    def forward(self, input_: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor | None]:
        """Return the output of matrix and adapters, and the bias if the caller adds it."""
        output, bias = super().forward(input_, *args, **options)  # type: ignore[misc]
        return self._adjust(input_, output), bias

    def _adjust(self, input_: Tensor, output: Tensor) -> Tensor:
        spec, training = self.adapter.spec, self.training  # type: ignore[attr-defined]
        row = matrix_kind(self) == "row"
        if spec.dropout and training and spec.dropout_position == "pre":
            # What goes into the rows' halves, or is a piece of the sequence, differs between processes.
            input_ = _dropout(input_, spec.dropout, divided=row or self._divides_sequence())
        change = self._delta(input_)
        if spec.dropout and training and spec.dropout_position == "post":
            change = _dropout(change, spec.dropout, divided=not row or self._divides_sequence())
        if not spec.dora:
            return output + change
        own = getattr(self, "bias", None) if not self.skip_bias_add else None  # type: ignore[attr-defined]
        plain = output if own is None else output - own
        adapted = (plain + change) * self.row_scale().to(output.dtype)
        return adapted if own is None else adapted + own

    def _delta(self, input_: Tensor) -> Tensor:
        """Return what the adapters add (..., out of this process)."""
        from megatron.core.tensor_parallel import mappings

        parts = self.adapter.pairs()
        group, alone = self.tp_group, self.tp_group.size() == 1  # type: ignore[attr-defined]
        expert = not alone and self.is_expert  # type: ignore[attr-defined]
        lora_a = [self._shared(part.lora_a, expert and matrix_kind(self) == "column") for _, part in parts]
        lora_b = [self._shared(part.lora_b, expert and matrix_kind(self) == "row") for _, part in parts]
        hidden = functional.linear(input_, torch.cat(lora_a) if len(lora_a) > 1 else lora_a[0])
        if not alone and not expert:
            if matrix_kind(self) == "column":
                if self._divides_sequence():
                    hidden = mappings.gather_from_sequence_parallel_region(hidden, group=group)
                else:
                    hidden = mappings.copy_to_tensor_model_parallel_region(hidden, group=group)
            elif self._divides_sequence():
                hidden = mappings.reduce_scatter_to_sequence_parallel_region(hidden, group=group)
            else:
                hidden = mappings.reduce_from_tensor_model_parallel_region(hidden, group=group)
        pieces = hidden.split([each.shape[0] for each in lora_a], -1)
        found = {
            name: functional.linear(piece, weight) * part.scale
            for (name, part), piece, weight in zip(parts, pieces, lora_b, strict=True)
        }
        return self.assemble(found, 0.0)

    def _shared(self, weight: Tensor, copied: bool) -> Tensor:
        """Return a weight that processes hold alike; the gradient of each process's part of the work is added up."""
        from megatron.core.tensor_parallel import mappings

        if not copied or self.tp_group.size() == 1:  # type: ignore[attr-defined]
            return weight
        return mappings.copy_to_tensor_model_parallel_region(weight, group=self.tp_group)  # type: ignore[attr-defined]

    def _divides_sequence(self) -> bool:
        own = cast(Any, self)
        return bool(own.sequence_parallel) and not own.is_expert and own.tp_group.size() > 1

    def assemble(self, found: dict[str, Tensor], missing: float) -> Tensor:
        """Put values of the projections (..., out) together as the matrix has them; ``missing`` where one has none."""
        return _assembly(self)(found, missing)

    def delta_weight(self) -> Tensor:
        """Return what the adapters add to the weight of this process, (out, in)."""
        found = {
            name: ((part.lora_b.float() @ part.lora_a.float()) * part.scale).T for name, part in self.adapter.pairs()
        }
        return self.assemble(found, 0.0).T

    def row_norms(self) -> Tensor:
        """Return the lengths of the rows of weight and adapters together (out), float32."""
        weight = cast(Tensor, cast(Any, self).weight)
        squares = (weight.detach().float() + self.delta_weight().detach()).square().sum(-1)
        if matrix_kind(self) == "row":
            group = cast(Any, self).tp_group
            if group.size() > 1:
                torch.distributed.all_reduce(squares, group=group)
        return squares.sqrt()

    def row_scale(self) -> Tensor:
        """Return what DoRA multiplies the rows by (out); the lengths take no gradient (section 4.3 of the paper)."""
        with torch.no_grad():
            norms = self.row_norms()
        copied = cast(Any, self).is_expert and matrix_kind(self) == "row"
        found = {name: self._shared(part.magnitude, copied).float() for name, part in self.adapter.pairs()}
        given = self.assemble({name: torch.ones_like(value) for name, value in found.items()}, 0.0)
        return torch.where(given > 0, self.assemble(found, 1.0) / norms, 1.0)

    def adapted_weight(self) -> Tensor:
        """Return weight and adapters together (out, in), of the weight's type."""
        weight = cast(Tensor, cast(Any, self).weight)
        merged = weight.detach().float() + self.delta_weight().detach()
        if self.adapter.spec.dora:
            merged = merged * self.row_scale().detach()[:, None]
        return merged.to(weight.dtype)

    def sharded_state_dict(self, prefix: str = "", sharded_offsets: Any = (), metadata: Any = None) -> dict[str, Any]:
        """Return what a distributed checkpoint keeps: the matrix as ever, the adapters beside it."""
        from megatron.core.transformer.utils import make_sharded_tensors_for_checkpoint

        found = super().sharded_state_dict(prefix, sharded_offsets, metadata)  # type: ignore[misc]
        found = {key: value for key, value in found.items() if not key.startswith(f"{prefix}adapter.")}
        axes = {"lora_b": 0, "magnitude": 0} if matrix_kind(self) == "column" else {"lora_a": 1}
        own = self.adapter.state_dict(prefix="adapter.", keep_vars=True)
        return found | make_sharded_tensors_for_checkpoint(
            own,
            prefix,
            {key: axes[last] for key in own if (last := key.rpartition(".")[2]) in axes},
            sharded_offsets,
            tp_group=cast(Any, self).tp_group,
            dp_cp_group=metadata["dp_cp_group"],
        )


def matrix_kind(matrix: Any) -> str | None:
    """Return ``column`` or ``row`` for a matrix whose output or input is divided; None for anything else."""
    from megatron.core.tensor_parallel import ColumnParallelLinear, RowParallelLinear

    if isinstance(matrix, ColumnParallelLinear):
        return "column"
    return "row" if isinstance(matrix, RowParallelLinear) else None


def part_names(name: str, matrix: Any) -> tuple[str, ...]:
    """Return the projections that a matrix holds; its own last name if it is one."""
    last = name.rpartition(".")[2]
    if last == "linear_fc1" and not matrix.config.gated_linear_unit:
        return (last,)
    return PARTS.get(last, (last,))


def adapt(name: str, matrix: Any, parts: Sequence[str], spec: LoRA, seed: int = 0) -> None:
    """Give a matrix adapters: its class becomes one that is :class:`Adapted` too.

    New adapters change nothing: ``A`` is uniform as a new linear layer is, ``B`` is zero. ``A`` depends on the seed and
    the name only, so every parallel layout begins with the same.

    Args:
        name: Whole name, with the layer counted from the first of the model.
        matrix: Of the engine.
        parts: Projections that get an adapter.
        spec: The settings.
        seed: Of the random numbers.
    """
    kind, rank, size = matrix_kind(matrix), matrix.tp_group.rank(), matrix.tp_group.size()
    sizes = _output_sizes(name, matrix)
    weight = matrix.weight
    made: dict[str, LowRank] = {}
    stem = name.rpartition(".")[0]
    for part in parts:
        whole = f"{stem}.{part}" if stem else part
        dim = spec.rank_of(whole)
        lora_a = _uniform((dim, matrix.input_size), f"{seed}/{whole}").to(weight)
        if kind == "row":
            lora_a = lora_a.chunk(size, 1)[rank].clone()
        lora_b = torch.zeros(sizes[part], dim, dtype=weight.dtype, device=weight.device)
        magnitude = torch.ones(sizes[part], dtype=weight.dtype, device=weight.device) if spec.dora else None
        made[part] = LowRank(lora_a, lora_b, spec.scale_of(whole), magnitude)
    matrix.part_of = name.rpartition(".")[2]
    matrix.adapter = Adapter(made, spec)
    matrix.__class__ = _adapted_class(type(matrix))
    for low_rank in made.values():
        _mark(matrix, low_rank, kind == "column")
    if spec.dora:
        norms = split_rows(matrix, matrix.row_norms()[:, None])
        for part, low_rank in made.items():
            low_rank.magnitude.data.copy_(norms[part][:, 0])


def restore_class(matrix: Any) -> None:
    """Take the adapters from a matrix again."""
    del matrix.adapter, matrix.part_of
    matrix.__class__ = type(matrix).__mro__[2]


def split_rows(matrix: Any, values: Tensor) -> dict[str, Tensor]:
    """Return the rows (out, ...) of each projection of a matrix, or of what is laid out as its rows are."""
    last = matrix.part_of
    sizes = _output_sizes(last, matrix)
    if last == "linear_qkv":
        groups, per_group, dim = _query_groups(matrix)
        view = values.reshape(groups, (per_group + 2) * dim, *values.shape[1:])
        pieces = view.split([per_group * dim, dim, dim], 1)
        return {
            part: piece.reshape(-1, *values.shape[1:]) for part, piece in zip(PARTS["linear_qkv"], pieces, strict=True)
        }
    return dict(zip(sizes, values.split(list(sizes.values())), strict=True))


def _assembly(matrix: Any) -> Callable[[dict[str, Tensor], float], Tensor]:
    """Return the function that puts values of projections (..., out) in the order of the rows of a matrix."""
    last = matrix.part_of
    sizes = _output_sizes(last, matrix)

    def assemble(found: dict[str, Tensor], missing: float) -> Tensor:
        some = next(iter(found.values()))
        values = [
            found[part] if part in found else some.new_full((*some.shape[:-1], size), missing)
            for part, size in sizes.items()
        ]
        if last == "linear_qkv":
            groups = _query_groups(matrix)[0]
            values = [value.unflatten(-1, (groups, -1)) for value in values]
            return torch.cat(values, -1).flatten(-2)
        return torch.cat(values, -1) if len(values) > 1 else values[0]

    return assemble


def _output_sizes(name: str, matrix: Any) -> dict[str, int]:
    """Return the rows of each projection that this process holds."""
    parts = part_names(name, matrix)
    if matrix_kind(matrix) == "row":
        return {parts[0]: matrix.output_size}
    rows = matrix.output_size_per_partition
    if name.rpartition(".")[2] == "linear_qkv":
        groups, per_group, dim = _query_groups(matrix)
        return dict(zip(parts, (groups * per_group * dim, groups * dim, groups * dim), strict=True))
    return {part: rows // len(parts) for part in parts}


def _query_groups(matrix: Any) -> tuple[int, int, int]:
    """Return heads of keys of this process, heads of queries for each, and their size."""
    config, size = matrix.config, matrix.tp_group.size()
    groups = config.num_query_groups or config.num_attention_heads
    if groups % size:
        raise ConfigError(
            f"{groups} heads of keys and values cannot be divided among {size} processes of tensor parallelism, "
            "which the adapters of linear_qkv need",
            hint=f"use tensor parallelism of at most {groups}, or leave linear_qkv out of peft.targets",
        )
    return groups // size, config.num_attention_heads // groups, config.kv_channels


def _mark(matrix: Any, part: LowRank, column: bool) -> None:
    """Tell the engine how each parameter is divided: for the norm of gradients, and where they must be added up."""
    shared_by_all = matrix.is_expert and matrix.tp_group.size() == 1  # no process has a duplicate
    for name, parameter in part.named_parameters():
        divided = name in (("lora_b", "magnitude") if column else ("lora_a",))
        parameter.tensor_model_parallel = divided or shared_by_all  # type: ignore[attr-defined]
        parameter.partition_dim = {"lora_a": 1}.get(name, 0) if divided else -1  # type: ignore[attr-defined]
        parameter.partition_stride = 1  # type: ignore[attr-defined]
        parameter.allreduce = getattr(matrix.weight, "allreduce", True)  # type: ignore[attr-defined]
        # Each process sees its piece of the sequence only.
        parameter.sequence_parallel = not divided and matrix._divides_sequence()  # type: ignore[attr-defined]


_classes: dict[type, type] = {}


def _adapted_class(kind: type) -> type:
    if kind not in _classes:
        _classes[kind] = type(f"Adapted{kind.__name__}", (Adapted, kind), {"__module__": __name__})
    return _classes[kind]


def _uniform(shape: tuple[int, int], key: str) -> Tensor:
    generator = torch.Generator().manual_seed(
        int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") >> 1
    )
    bound = 1 / math.sqrt(shape[1])
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def _dropout(values: Tensor, rate: float, *, divided: bool) -> Tensor:
    from megatron.core.tensor_parallel import get_cuda_rng_tracker

    if not divided:
        return functional.dropout(values, rate)
    with get_cuda_rng_tracker().fork():
        return functional.dropout(values, rate)
