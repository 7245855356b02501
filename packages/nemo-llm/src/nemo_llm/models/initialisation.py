"""Initial weights that do not depend on how a model is divided among processes.

Each weight is drawn whole from a generator of its own, seeded by the seed and by its name in the whole model (layers
and experts counted globally), and each process keeps its part. So any two layouts start from the same model.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["global_names", "initialise"]

_LAYER = re.compile(r"\blayers\.(\d+)\.")
_EXPERT = re.compile(r"\blocal_experts\.(\d+)\.")
# What adds to the residual stream: deviation divided by sqrt(2 x layers) (GPT-2).
_RESIDUAL = ("linear_proj.weight", "linear_fc2.weight")


def global_names(model: nn.Module, *, buffers: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield each weight of one process's part of a model, with its name in the whole model.

    The output layer of the last pipeline stage, where it is tied to the embedding of the first, has its name too.

    Args:
        model: As the engine built it.
        buffers: Whether to yield its buffers too (the router's bias, which no gradient reaches).
    """
    layers = {name: module for name, module in model.named_modules() if hasattr(module, "layer_number")}
    experts = {
        name: module.local_expert_indices
        for name, module in model.named_modules()
        if hasattr(module, "local_expert_indices")
    }
    tied = bool(getattr(model, "share_embeddings_and_output_weights", False))
    named = itertools.chain(model.named_parameters(), model.named_buffers() if buffers else ())
    for name, parameter in named:
        where = name
        if (found := _EXPERT.search(name)) is not None:
            indices = next(value for owner, value in experts.items() if name.startswith(f"{owner}."))
            where = f"{name[: found.start(1)]}{indices[int(found[1])]}{name[found.end(1) :]}"
        if (found := _LAYER.search(name)) is not None:
            number = layers[name[: found.end(1)]].layer_number - 1
            where = f"{where[: found.start(1)]}{number}{where[found.end(1) :]}"
        if tied and where == "output_layer.weight":
            where = "embedding.word_embeddings.weight"
        yield where, parameter


def initialise(
    model: nn.Module, config: Any, *, seed: int = 0, deviation: Callable[[str], float] | None = None
) -> None:
    """Give a process's part of a model its initial weights.

    Args:
        model: As the engine built it, of the engine's layers.
        config: The engine's configuration.
        seed: The same in all processes.
        deviation: Name of a weight -> its standard deviation; that of the configuration if not given.
    """
    rows = getattr(getattr(config, "model", None), "vocab_size", None)
    with torch.no_grad():
        for name, parameter in global_names(model):
            parameter.copy_(_initial(name, parameter, config, seed, rows, deviation))


def _initial(
    name: str,
    parameter: nn.Parameter,
    config: Any,
    seed: int,
    vocabulary: int | None,
    deviation: Callable[[str], float] | None,
) -> Tensor:
    if name.endswith("bias"):
        return torch.zeros_like(parameter)
    if name.endswith("norm.weight"):
        return torch.full_like(parameter, 0.0 if config.layernorm_zero_centered_gamma else 1.0)
    if deviation is not None:
        std = deviation(name)
    else:
        std = config.init_method_std
        if name.endswith(_RESIDUAL):
            std /= math.sqrt(2.0 * config.num_layers)
    dim, parts, part = _division(name, parameter)
    shape = list(parameter.shape)
    shape[dim] *= parts
    padded = shape[0]
    if name.endswith(("word_embeddings.weight", "output_layer.weight")) and vocabulary is not None:
        shape[0] = vocabulary  # rows that only fill up what is divided must not move the others
    generator = torch.Generator(parameter.device).manual_seed(_seed_of(name, seed))
    whole = torch.empty(shape, device=parameter.device).normal_(0.0, std, generator=generator)
    if padded != shape[0]:
        whole = torch.cat([whole, whole.new_zeros(padded - shape[0], *shape[1:])])
    if parts == 1:
        return whole
    # A gated layer is two matrices, one behind the other, each divided by itself.
    stride = getattr(parameter, "partition_stride", 1)
    return torch.cat([piece.chunk(parts, dim)[part] for piece in whole.chunk(stride, dim)], dim)


def _division(name: str, parameter: nn.Parameter) -> tuple[int, int, int]:
    """Return the dimension that is divided among processes, among how many, and which of them this one is."""
    from megatron.core import parallel_state

    if not getattr(parameter, "tensor_model_parallel", False):
        return 0, 1, 0
    if ".local_experts." in name:
        size = parallel_state.get_expert_tensor_parallel_world_size()
        rank = parallel_state.get_expert_tensor_parallel_rank()
    else:
        size = parallel_state.get_tensor_model_parallel_world_size()
        rank = parallel_state.get_tensor_model_parallel_rank()
    return int(parameter.partition_dim), size, rank  # type: ignore[attr-defined]


def _seed_of(name: str, seed: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=7).digest(), "big")
