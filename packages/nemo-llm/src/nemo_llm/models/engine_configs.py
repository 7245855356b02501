"""The engine's configuration of a model in a layout."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from megatron.core import parallel_state
from megatron.core.transformer.transformer_config import MLATransformerConfig, TransformerConfig
from torch.nn import functional as F

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean
from nemo_llm.megatron.layout import Layout
from nemo_llm.models.config import Experts, LatentAttention, ModelConfig

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EngineConfig", "LatentEngineConfig", "engine_config", "running_layout"]

ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}


@dataclass
class EngineConfig(TransformerConfig):
    """The engine's configuration, and the model that it is of: what the engine has no name for is looked up there."""

    model: ModelConfig | None = None


@dataclass
class LatentEngineConfig(MLATransformerConfig):
    """Likewise, for models with multi-head latent attention."""

    model: ModelConfig | None = None


def running_layout(**changes: Any) -> Layout:
    """Return the layout of the running engine, as far as it has process groups.

    Args:
        changes: What the process groups do not tell: ``sequence_parallel``.
    """
    virtual = parallel_state.get_virtual_pipeline_model_parallel_world_size()
    return Layout(
        tensor=parallel_state.get_tensor_model_parallel_world_size(),
        pipeline=parallel_state.get_pipeline_model_parallel_world_size(),
        virtual_pipeline=virtual or 1,
        context=parallel_state.get_context_parallel_world_size(),
        expert=parallel_state.get_expert_model_parallel_world_size(),
        expert_tensor=parallel_state.get_expert_tensor_parallel_world_size(),
        **changes,
    )


def engine_config(
    config: ModelConfig,
    layout: Layout | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    **overrides: Any,
) -> TransformerConfig:
    """Return the engine's configuration of a model.

    Args:
        config: The model.
        layout: How it is divided among processes; that of the running engine if not given.
        dtype: Of the weights and the computation.
        overrides: Any value of the engine's own configuration: recomputation of activations, offloading, overlap of
            communication, fp8, ``cp_comm_type`` ("all_gather" or "p2p"), ``moe_token_dispatcher_type``, ...

    Raises:
        ConfigError: An override is not known, or the engine refuses the combination.
    """
    layout = layout or running_layout()
    kind: type[TransformerConfig] = EngineConfig if config.latent is None else LatentEngineConfig
    values: dict[str, Any] = {
        **_sizes(config),
        **_division(layout),
        **_numbers(dtype),
        **_experts(config, config.experts),
        **({} if config.latent is None else _latent(config, config.latent)),
        "model": config,
        "transformer_impl": "transformer_engine" if torch.cuda.is_available() and transformer_engine() else "local",
        "calculate_per_token_loss": True,
        # The engine notes on a weight how it is divided only where it initialises it; the values are ours
        # (nemo_llm.models.initialisation).
        "perform_initialization": True,
        "init_method": _leave,
        "output_layer_init_method": _leave,
        "embedding_init_method": _leave,
        "use_cpu_initialization": not torch.cuda.is_available(),
        "batch_p2p_comm": torch.cuda.is_available(),
        "gradient_accumulation_fusion": False,
        "masked_softmax_fusion": False,
        "bias_dropout_fusion": torch.cuda.is_available(),
        "bias_activation_fusion": torch.cuda.is_available() and config.activation == "silu" and config.gated,
    }
    known = [each.name for each in dataclasses.fields(kind)]
    for key in overrides:
        if key not in known:
            raise ConfigError(f"the engine has no option {key!r}", hint=did_you_mean(key, known))
    values |= overrides
    if values.get("recompute_granularity") == "selective" and torch.cuda.is_available() and not transformer_engine():
        needing = sorted({"layernorm", "mla_up_proj", "moe_act"} & set(values.get("recompute_modules") or ()))
        if needing:
            raise ConfigError(
                f"the engine recomputes {', '.join(needing)} with Transformer Engine only",
                hint="install nemo-llm[gpu], or take others of recompute_modules: core_attn, mlp, moe",
            )
    try:
        return kind(**values)
    except (ValueError, AssertionError) as error:
        raise ConfigError(f"the engine refuses this model: {error}") from error


def transformer_engine() -> bool:
    """Whether Transformer Engine is installed."""
    return importlib.util.find_spec("transformer_engine") is not None


def _leave(weight: torch.Tensor) -> torch.Tensor:
    return weight


def _sizes(config: ModelConfig) -> dict[str, Any]:
    return {
        "num_layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "num_attention_heads": config.num_heads,
        "num_query_groups": config.kv_heads,
        "kv_channels": config.head_size,
        "ffn_hidden_size": config.ffn_size,
        "activation_func": ACTIVATIONS[config.activation],
        "gated_linear_unit": config.gated,
        "normalization": "LayerNorm" if config.norm == "layer" else "RMSNorm",
        "layernorm_zero_centered_gamma": config.norm == "rms_plus_one",
        "layernorm_epsilon": config.norm_eps,
        "add_bias_linear": config.mlp_bias,
        "add_qkv_bias": config.qkv_bias,
        "qk_layernorm": config.qk_norm,
        "softmax_scale": config.query_scale,
        # For Transformer Engine's attention; ours asks the model itself.
        "window_size": None if config.window is None else (config.window - 1, 0),
        "window_attn_skip_freq": [int(config.window_of(layer) is not None) for layer in range(config.num_layers)],
        "hidden_dropout": config.dropout,
        "attention_dropout": config.dropout,
        "init_method_std": config.init_std,
    }


def _division(layout: Layout) -> dict[str, Any]:
    return {
        "tensor_model_parallel_size": layout.tensor,
        "pipeline_model_parallel_size": layout.pipeline,
        "virtual_pipeline_model_parallel_size": layout.virtual_pipeline if layout.virtual_pipeline > 1 else None,
        "context_parallel_size": layout.context,
        "cp_comm_type": "all_gather" if layout.context > 1 else None,
        "expert_model_parallel_size": layout.expert,
        "expert_tensor_parallel_size": layout.expert_tensor or layout.tensor,
        "sequence_parallel": layout.sequence_parallel,
    }


def _numbers(dtype: torch.dtype) -> dict[str, Any]:
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise ConfigError(f"{dtype} is no type that a model is trained in", hint="give float32, bfloat16 or float16")
    return {
        "params_dtype": dtype,
        "pipeline_dtype": dtype,
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
    }


def _experts(config: ModelConfig, experts: Experts | None) -> dict[str, Any]:
    if experts is None:
        return {}
    if experts.score == "sigmoid" and not experts.normalize:
        raise ConfigError("experts.score sigmoid needs experts.normalize")
    return {
        "num_moe_experts": experts.count,
        "moe_router_topk": experts.per_token,
        "moe_ffn_hidden_size": experts.ffn_size,
        "moe_shared_expert_intermediate_size": experts.shared_ffn_size,
        "moe_shared_expert_gate": experts.shared_gate,
        "moe_layer_freq": [0 if layer in experts.dense_layers else 1 for layer in range(config.num_layers)],
        "moe_router_score_function": experts.score,
        # A softmax over the chosen ones is what a softmax over all, made to sum to one, comes to.
        "moe_router_pre_softmax": experts.score == "softmax" and (not experts.normalize or experts.per_token == 1),
        "moe_router_topk_scaling_factor": experts.scale if experts.scale != 1.0 else None,
        "moe_router_num_groups": experts.groups,
        "moe_router_group_topk": experts.groups_per_token,
        "moe_router_enable_expert_bias": experts.score_bias,
        "moe_router_load_balancing_type": "aux_loss" if experts.aux_loss else "none",
        "moe_aux_loss_coeff": experts.aux_loss,
        "moe_z_loss_coeff": experts.z_loss or None,
        "moe_router_dtype": "fp32",
        "moe_token_dispatcher_type": "alltoall" if torch.cuda.is_available() else "allgather",
    }


def _latent(config: ModelConfig, latent: LatentAttention) -> dict[str, Any]:
    stretched = config.rope.scaling == "yarn"
    return {
        "multi_latent_attention": True,
        "q_lora_rank": latent.q_rank,
        "kv_lora_rank": latent.kv_rank,
        "qk_head_dim": latent.nope_dim,
        "qk_pos_emb_head_dim": latent.rope_dim,
        "v_head_dim": latent.value_dim,
        # Rotary embedding is ours; of these the engine derives the scale of the scores.
        "rope_type": "rope",
        "rotary_scaling_factor": config.rope.factor if stretched else 1.0,
        "mscale_all_dim": (config.rope.mscale_all_dim or 0.0) if stretched else 0.0,
        "qk_layernorm": False,
    }
