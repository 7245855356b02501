"""The state of the engine's optimizers, so that any layout and any kind of optimizer can read what another wrote.

Each tensor of state (moments, main weights in float32) is stored as part of a global tensor, in the shape of the weight
it belongs to, under ``optimizer.state.{name}.{key of the weight}``; so Megatron-core names them too. The distributed
optimizer's flat stretches are stored as blocks, straight from where they are: nothing is gathered. Numbers that
belong to groups of weights are plain values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from megatron.core.dist_checkpointing.mapping import ShardedTensor
from torch import Tensor

from nemo_core.errors import TrainingError
from nemo_llm.megatron.checkpoint.model_state import ModelState, local, parts_of, stretch_of

__all__ = ["MAIN", "PREFIX", "OptimizerState"]

PREFIX = "optimizer.state."
MAIN = "fp32_param"
_IDENTITY = ("wd_mult", "lr_mult", "is_decoupled_lr", "is_expert_parallel")
# Of a group, what says how to run on a machine rather than what to compute.
_NOT_STORED = {"params", "step", "foreach", "fused", "capturable", "differentiable", "maximize"}


@dataclass
class _Entry:
    """A weight and its state in this process: elements ``start`` to ``stop`` of the flattened weight.

    ``instance`` says which copy of the optimizer it is, where data-parallel processes divide the state; None: they do
    not, each has all of it.
    """

    weight: Tensor
    start: int
    stop: int
    tensors: dict[str, Tensor]
    instance: int | None = None


class OptimizerState:
    """What is stored of an optimizer, and put back.

    Args:
        optimizer: Megatron-core's, of any kind.
        model: What is stored of the model; it says which part of the whole a weight is.
    """

    def __init__(self, optimizer: Any, model: ModelState) -> None:
        self.parts = [
            each
            for each in getattr(optimizer, "chained_optimizers", [optimizer])
            if not getattr(each, "is_stub_optimizer", False) and each.optimizer is not None
        ]
        if any(getattr(getattr(each, "ddp_config", None), "use_megatron_fsdp", False) for each in self.parts):
            raise TrainingError(
                "checkpoints of optimizers that Megatron-FSDP divides are not written yet",
                hint="use strategy.sharding=optimizer or fsdp2",
            )
        self._described = model.described
        for part in self.parts:
            _allocate(part)
        self.entries = [(part, entry) for part in self.parts for entry in _entries(part)]

    def sharded(self) -> dict[str, list[ShardedTensor]]:
        """Return the tensors; reading into them restores the state."""
        found: dict[str, list[ShardedTensor]] = {}
        for number, (_, entry) in enumerate(self.entries):
            described = self._described.get(id(entry.weight))
            if described is None:
                raise TrainingError("the optimizer has a weight that the model does not store")
            replica = None if entry.instance is None else (*described.replica_id[:-1], entry.instance)
            for name, tensor in entry.tensors.items():
                prefix = f"{PREFIX}{name}."
                parts = list(parts_of(described, tensor, entry.start, entry.stop, prefix=prefix, replica=replica))
                if parts:
                    found[f"{number}.{name}"] = parts
        return found

    def plain(self) -> dict[str, Any]:
        """Return what belongs to groups of weights, as plain values."""
        scalers = [part.grad_scaler.state_dict() for part in self.parts if getattr(part, "grad_scaler", None)]
        groups = [
            {key: value for key, value in group.items() if key not in _NOT_STORED and _is_plain(value)}
            for part in self.parts
            for group in part.optimizer.param_groups
        ]
        return {"step": self.step, "groups": groups, "scaler": scalers[0] if scalers else None}

    @staticmethod
    def merged(plains: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what :meth:`plain` returned in all processes as one: a process may lack groups that others have."""
        groups: list[dict[str, Any]] = []
        for each in plains:
            groups += [group for group in each["groups"] if group not in groups]
        return {**max(plains, key=lambda each: each["step"]), "groups": groups}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Take over what :meth:`plain` returned; the tensors have been read already."""
        step = float(plain.get("step") or 0)
        for part in self.parts:
            for group in part.optimizer.param_groups:
                stored = _same_group(group, plain.get("groups") or [])
                group.update({key: value for key, value in stored.items() if key in group and key != "params"})
                if "step" in group:
                    group["step"] = int(step)
            for state in part.optimizer.state.values():
                if isinstance(state.get("step"), Tensor):
                    state["step"].fill_(step)
            if getattr(part, "grad_scaler", None) and plain.get("scaler"):
                part.grad_scaler.load_state_dict(plain["scaler"])
        for part, entry in self.entries:
            if _keeps_copies(part):
                tensors = {("param" if name == MAIN else name): tensor for name, tensor in entry.tensors.items()}
                part._set_main_param_and_optimizer_states(entry.weight, tensors)

    @property
    def step(self) -> int:
        """How often the optimizer has updated the weights."""
        for part in self.parts:
            for state in part.optimizer.state.values():
                if "step" in state:
                    return int(state["step"])
            for group in part.optimizer.param_groups:
                if group.get("step"):
                    return int(group["step"])
        return 0


def _allocate(part: Any) -> None:
    """Make the state that the first step would make, so that there is something to read into."""
    inner = part.optimizer
    if isinstance(inner, (torch.optim.Adam, torch.optim.AdamW)):
        for weight in _weights(inner):
            if not inner.state[weight]:
                inner.state[weight] = {
                    "step": torch.zeros((), dtype=torch.float32),
                    "exp_avg": torch.zeros_like(weight, memory_format=torch.preserve_format),
                    "exp_avg_sq": torch.zeros_like(weight, memory_format=torch.preserve_format),
                }
    elif isinstance(inner, torch.optim.SGD):
        for group in inner.param_groups:
            for weight in group["params"] if group.get("momentum") else ():
                if inner.state[weight].get("momentum_buffer") is None:
                    inner.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    elif not inner.state:
        if hasattr(inner, "dummy_step"):
            inner.dummy_step()
        elif part.init_state_fn is not None:
            part.init_state_fn(inner, part.config)


def _weights(inner: Any) -> Iterator[Tensor]:
    for group in inner.param_groups:
        yield from group["params"]


def _entries(part: Any) -> Iterator[_Entry]:
    """Yield the weights of an optimizer with their state."""
    if hasattr(part, "gbuf_ranges"):
        for by_type in part.gbuf_ranges:
            for buckets in by_type.values():
                for bucket in buckets:
                    for weight, ranges in bucket["param_map"].items():
                        tensors = part._get_main_param_and_optimizer_states(weight)
                        main = tensors.pop("param")
                        entry = _entry(weight, ranges["param"].start, ranges["param"].end, main, tensors)
                        entry.instance = part.distributed_optimizer_instance_id
                        yield entry
        return
    pairs: list[tuple[Tensor, Tensor]] = []
    if hasattr(part, "float16_groups"):
        for weights, mains in zip(part.float16_groups, part.fp32_from_float16_groups, strict=True):
            pairs += zip(weights, mains, strict=True)
        for mains in part.fp32_from_fp32_groups:
            pairs += zip(mains, mains, strict=True)
    else:
        pairs = [(weight, weight) for weight in _weights(part.optimizer)]
    for weight, main in pairs:
        yield _entry(weight, *stretch_of(weight), main, part.optimizer.state[main])


def _entry(weight: Tensor, start: int, stop: int, main: Tensor, state: Mapping[str, Any]) -> _Entry:
    tensors = {name: local(each) for name, each in state.items() if isinstance(each, Tensor) and name != "step"}
    if main.dtype != weight.dtype:
        tensors[MAIN] = local(main)  # else the optimizer updates the weight itself, which the model stores
    return _Entry(weight, start, stop, {name: each.detach() for name, each in tensors.items()})


def _same_group(group: Mapping[str, Any], stored: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Return the stored group that is this one; experts may have been in one group with others, and the reverse."""
    for keys in ((*_IDENTITY, "max_lr", "min_lr"), _IDENTITY, _IDENTITY[:-1]):
        for each in stored:
            if all(each.get(key) == group.get(key) for key in keys):
                return {**each, **{key: group[key] for key in _IDENTITY if key in group}}
    return {}


def _keeps_copies(part: Any) -> bool:
    """Whether an optimizer hands out copies of its state instead of the state itself."""
    config = part.config
    return hasattr(part, "gbuf_ranges") and (
        bool(getattr(config, "use_precision_aware_optimizer_no_fp8_or_ds_fp8", False))
        or bool(getattr(config, "optimizer_cpu_offload", False))
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(each) for each in value)
    return value is None or isinstance(value, (bool, int, float, str, Tensor))
