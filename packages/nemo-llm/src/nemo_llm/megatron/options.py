"""What a recipe's ``strategy`` section says beyond the layout, and what Megatron-core is told of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["Options", "dtype_of", "precision_options"]

_RECOMPUTE: dict[str, dict[str, Any]] = {
    "full": {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1},
    "selective": {"recompute_granularity": "selective"},
}
_FP8_RECIPES = ("delayed", "tensorwise", "mxfp8", "blockwise")


@dataclass(frozen=True)
class Options:
    """How a layout is trained on.

    Attributes:
        sharding: What data-parallel processes divide: ``none``; ``optimizer`` (the distributed optimizer; Rajbhandari
            et al., 2020, arXiv:1910.02054, stage 1); ``fsdp2`` (weights, gradients and optimiser state, by torch);
            ``megatron_fsdp`` (the same, by Megatron-core, on GPUs).
        micro_batch_size: Sequences that go through the model at a time; gradients of a step's micro-batches add up. A
            process's whole share of the batch, without pipelines; a share of it for each pipeline stage, with them.
        context_mode: How context parallelism exchanges keys and values: ``all_gather`` or ``ring``.
        grad_reduce_in_fp32: Whether gradients are added up in float32 when weights are in 16 bits.
        recompute: Activations that the backward pass computes anew instead of keeping: ``full`` (all layers),
            ``selective`` (attention), or a number (full, of so many layers of each stage).
        overlap_grad_reduce, overlap_param_gather: Communicate while computing (data parallelism).
        overlap_p2p: Likewise, between pipeline stages (with ``virtual_pipeline``).
        overlap_tensor: Likewise, in tensor parallelism (Transformer Engine's user buffers; needs sequence_parallel).
        cpu_offload_layers: Layers whose activations wait in the host's memory (Transformer Engine).
        cpu_offload_optimizer: Part of the optimiser that lives in the host's memory, from 0 to 1 (Transformer Engine).
        fp8_recipe: Scaling of 8-bit products with ``trainer.precision=fp8``.
        fp16_loss_scale: Fixed loss scale with ``trainer.precision=fp16``; found by trial if not given.
        timeout_minutes: How long processes wait for one another.
        background_save: Whether checkpoints are written while training goes on.
        engine: Further fields of Megatron-core's ``TransformerConfig``, as they are.
        ddp: Further fields of its ``DistributedDataParallelConfig``.
        optimizer: Further fields of its ``OptimizerConfig``.
    """

    sharding: Literal["none", "optimizer", "fsdp2", "megatron_fsdp"] = "optimizer"
    micro_batch_size: int | None = None
    context_mode: Literal["all_gather", "ring"] = "all_gather"
    grad_reduce_in_fp32: bool = True
    recompute: str | int | None = None
    overlap_grad_reduce: bool = False
    overlap_param_gather: bool = False
    overlap_p2p: bool = False
    overlap_tensor: bool = False
    cpu_offload_layers: int = 0
    cpu_offload_optimizer: float = 0.0
    fp8_recipe: str = "delayed"
    fp16_loss_scale: float | None = None
    timeout_minutes: float = 30.0
    background_save: bool = True
    engine: Mapping[str, Any] = field(default_factory=dict)
    ddp: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _choice("sharding", self.sharding, ("none", "optimizer", "fsdp2", "megatron_fsdp"))
        _choice("context_mode", self.context_mode, ("all_gather", "ring"))
        _choice("fp8_recipe", self.fp8_recipe, _FP8_RECIPES)
        recompute = self.recompute
        if isinstance(recompute, str) or (
            isinstance(recompute, int) and (isinstance(recompute, bool) or recompute < 1)
        ):
            _choice("recompute", recompute, tuple(_RECOMPUTE), "or a number of layers")
        if self.micro_batch_size is not None and self.micro_batch_size < 1:
            raise ConfigError(f"strategy.micro_batch_size is {self.micro_batch_size}", hint="give at least 1")
        if self.overlap_param_gather and self.sharding != "optimizer":
            raise ConfigError(
                f"strategy.overlap_param_gather gathers what the distributed optimizer divided, and sharding is "
                f"{self.sharding}",
                hint="set strategy.sharding=optimizer",
            )
        if self.sharding == "megatron_fsdp" and not torch.cuda.is_available():
            raise ConfigError(
                "strategy.sharding: megatron_fsdp needs a GPU", hint="fsdp2 and optimizer run on a CPU as well"
            )
        offload = self.cpu_offload_layers or self.cpu_offload_optimizer or self.overlap_tensor
        if offload and not torch.cuda.is_available():
            raise ConfigError(
                "strategy: cpu_offload_layers, cpu_offload_optimizer and overlap_tensor need a GPU",
                hint="leave them out on a CPU",
            )

    def transformer(self, precision: str, virtual: bool = False) -> dict[str, Any]:
        """Return fields of Megatron-core's ``TransformerConfig``.

        Args:
            precision: As in :func:`dtype_of`.
            virtual: Whether the pipeline is interleaved; only then messages between stages can overlap.

        >>> Options(recompute="selective").transformer("32-true")["recompute_granularity"]
        'selective'
        """
        found: dict[str, Any] = dict(precision_options(precision, self.fp8_recipe))
        if isinstance(self.recompute, str):
            found |= _RECOMPUTE[self.recompute]
        elif self.recompute is not None:
            found |= {
                "recompute_granularity": "full",
                "recompute_method": "block",
                "recompute_num_layers": self.recompute,
            }
        if self.overlap_p2p:
            if not virtual:
                raise ConfigError("strategy.overlap_p2p needs strategy.virtual_pipeline > 1")
            found["overlap_p2p_comm"] = True
        if self.overlap_tensor:
            found["tp_comm_overlap"] = True
        if self.cpu_offload_layers:
            found |= {"cpu_offloading": True, "cpu_offloading_num_layers": self.cpu_offload_layers}
        return {**found, **_known("engine", self.engine, "megatron.core.transformer", "TransformerConfig")}

    def data_parallel(self) -> Any:
        """Return Megatron-core's ``DistributedDataParallelConfig``."""
        from megatron.core.distributed import DistributedDataParallelConfig

        fsdp = {}
        if self.sharding == "megatron_fsdp":
            fsdp = {"use_megatron_fsdp": True, "data_parallel_sharding_strategy": "optim_grads_params"}
        settings = {
            "grad_reduce_in_fp32": self.grad_reduce_in_fp32,
            "overlap_grad_reduce": self.overlap_grad_reduce,
            "overlap_param_gather": self.overlap_param_gather,
            "use_distributed_optimizer": self.sharding in ("optimizer", "megatron_fsdp"),
            **fsdp,
            **_known("ddp", self.ddp, "megatron.core.distributed", "DistributedDataParallelConfig"),
        }
        return DistributedDataParallelConfig(**settings)


def dtype_of(precision: str) -> torch.dtype:
    """Return what weights and activations are stored in.

    Args:
        precision: Lightning's name: ``32-true``, ``bf16-mixed``, ``16-mixed``, ``transformer-engine``.

    Raises:
        ConfigError: The engine does not train in it.

    >>> dtype_of("bf16-mixed")
    torch.bfloat16
    """
    kinds = {
        "32-true": torch.float32,
        "bf16-mixed": torch.bfloat16,
        "16-mixed": torch.float16,
        "transformer-engine": torch.bfloat16,
        "transformer-engine-float16": torch.float16,
    }
    if precision not in kinds:
        raise ConfigError(
            f"trainer.precision: Megatron-core does not train in {precision}",
            hint="one of fp32, tf32, bf16, fp16, fp8; 16-bit weights always have float32 copies in the optimiser",
        )
    return kinds[precision]


def precision_options(precision: str, fp8_recipe: str = "delayed") -> dict[str, Any]:
    """Return the fields of Megatron-core's ``TransformerConfig`` that a precision sets.

    >>> precision_options("bf16-mixed")["bf16"]
    True
    """
    dtype = dtype_of(precision)
    found: dict[str, Any] = {
        "params_dtype": dtype,
        "pipeline_dtype": dtype,
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
    }
    if precision.startswith("transformer-engine"):
        found |= {"fp8": "e4m3" if fp8_recipe == "mxfp8" else "hybrid", "fp8_recipe": fp8_recipe}
    return found


def _choice(key: str, value: Any, allowed: tuple[str, ...], more: str = "") -> None:
    if value not in allowed:
        raise ConfigError(
            f"strategy.{key}: {value!r} is not one of {', '.join(allowed)}" + (f", {more}" if more else ""),
            hint=did_you_mean(str(value), allowed),
        )


def _known(section: str, values: Mapping[str, Any], module: str, name: str) -> dict[str, Any]:
    """Return ``values`` if the engine's dataclass has fields of their names."""
    if not values:
        return {}
    import importlib

    kind = getattr(importlib.import_module(module), name)
    names = [each.name for each in dataclasses.fields(kind)]
    for key in values:
        if key not in names:
            raise ConfigError(
                f"strategy.{section}.{key} is no field of Megatron-core's {name}", hint=did_you_mean(str(key), names)
            )
    return dict(values)
