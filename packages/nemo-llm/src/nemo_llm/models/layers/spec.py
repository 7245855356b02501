"""Which modules a model's layers are built of: the engine's, or ours where its own do not do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from megatron.core.fusions.fused_bias_dropout import get_bias_dropout_add
from megatron.core.tensor_parallel.layers import ColumnParallelLinear
from megatron.core.transformer.attention import SelfAttentionSubmodules
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.mlp import MLPSubmodules
from megatron.core.transformer.moe.experts import SequentialMLP
from megatron.core.transformer.moe.moe_layer import MoELayer, MoESubmodules
from megatron.core.transformer.moe.shared_experts import SharedExpertMLP
from megatron.core.transformer.multi_latent_attention import MLASelfAttentionSubmodules
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build
from megatron.core.transformer.transformer_layer import (
    TransformerLayer,
    TransformerLayerSubmodules,
    get_transformer_layer_offset,
)

from nemo_llm.models.config import ModelConfig
from nemo_llm.models.engine_configs import transformer_engine
from nemo_llm.models.layers.attention import SDPAttention
from nemo_llm.models.layers.linear import ColumnParallel, RowParallel
from nemo_llm.models.layers.norms import Norm, PostNormAdd
from nemo_llm.models.layers.routing import Router
from nemo_llm.models.layers.self_attention import LatentSelfAttention, SelfAttention
from nemo_llm.models.layers.swiglu import FeedForward

__all__ = [
    "Parts",
    "block_spec",
    "feed_forward_part",
    "layer_spec",
    "local_parts",
    "parts_at_hand",
    "transformer_engine_parts",
]


@dataclass(frozen=True)
class Parts:
    """What layers are put together from; a faster or a quantised one goes in here.

    Weights have the same names whatever the parts, so checkpoints and conversions do not depend on them.
    """

    column: Any = ColumnParallel
    row: Any = RowParallel
    norm: Any = Norm
    attention: Any = SDPAttention
    self_attention: Any = SelfAttention
    mlp: Any = FeedForward


def local_parts() -> Parts:
    """Return parts that need nothing but torch."""
    return Parts()


def transformer_engine_parts(config: ModelConfig) -> Parts:
    """Return Transformer Engine's linear layers (for fp8), norms and, where it does what the model asks, attention."""
    from megatron.core.extensions import transformer_engine as te

    return Parts(
        column=te.TEColumnParallelLinear,
        row=te.TERowParallelLinear,
        norm=te.TENorm,
        attention=SDPAttention if config.attention_softcap is not None else _segments_aside(te.TEDotProductAttention),
    )


def _segments_aside(kernel: Any) -> Any:
    """Return Transformer Engine's attention, which leaves packed rows to ours."""

    class Attention(kernel):
        def __init__(self, config: Any, layer_number: int, *args: Any, **options: Any) -> None:
            super().__init__(config, layer_number, *args, **options)
            self.ours = SDPAttention(config, layer_number, *args, **options)

        def forward(self, query: Any, key: Any, value: Any, attention_mask: Any, *args: Any, **options: Any) -> Any:
            if attention_mask is None:
                return super().forward(query, key, value, None, *args, **options)
            return self.ours(query, key, value, attention_mask)

    return Attention


def parts_at_hand(config: ModelConfig) -> Parts:
    """Return Transformer Engine's parts where it is installed and there is a GPU, else the local ones."""
    if torch.cuda.is_available() and transformer_engine():
        return transformer_engine_parts(config)
    return local_parts()


def _attention(config: ModelConfig, parts: Parts) -> ModuleSpec:
    params = {"attn_mask_type": AttnMaskType.causal}
    if config.latent is None:
        norm = parts.norm if config.qk_norm else IdentityOp
        return ModuleSpec(
            parts.self_attention,
            params=params,
            submodules=SelfAttentionSubmodules(
                linear_qkv=parts.column,
                core_attention=parts.attention,
                linear_proj=parts.row,
                q_layernorm=norm,
                k_layernorm=norm,
            ),
        )
    # Of these the engine takes those that it knows only; LatentSelfAttention makes them ours.
    down = ColumnParallelLinear if parts.column is ColumnParallel else parts.column
    return ModuleSpec(
        LatentSelfAttention,
        params=params,
        submodules=MLASelfAttentionSubmodules(
            linear_q_proj=parts.column,
            linear_q_down_proj=down,
            linear_q_up_proj=parts.column,
            linear_kv_down_proj=down,
            linear_kv_up_proj=parts.column,
            core_attention=parts.attention,
            linear_proj=parts.row,
            q_layernorm=parts.norm,
            kv_layernorm=parts.norm,
        ),
    )


def feed_forward_part(parts: Parts, ffn_size: int) -> type:
    """Return the class of a dense feed-forward part; of a ``ModuleSpec`` that it does not know the engine warns."""
    linears = MLPSubmodules(linear_fc1=parts.column, linear_fc2=parts.row)

    class FeedForward(parts.mlp):  # type: ignore[name-defined]
        def __init__(self, config: Any, **options: Any) -> None:
            super().__init__(config, submodules=linears, ffn_hidden_size=ffn_size, **options)

    return FeedForward


def _feed_forward(config: ModelConfig, layer: int, parts: Parts) -> Any:
    linears = MLPSubmodules(linear_fc1=parts.column, linear_fc2=parts.row)
    if config.experts is None or layer in config.experts.dense_layers:
        return feed_forward_part(parts, config.ffn_size)
    return ModuleSpec(
        MoELayer,
        submodules=MoESubmodules(
            experts=ModuleSpec(SequentialMLP, submodules=linears),
            shared_experts=ModuleSpec(SharedExpertMLP, submodules=linears),
            router=Router,
        ),
    )


def layer_spec(config: ModelConfig, engine: Any, layer: int, parts: Parts) -> ModuleSpec:
    """Return what one layer is built of.

    Args:
        config: The model.
        engine: The engine's configuration.
        layer: Its index in the whole model, from 0.
        parts: To build it from.
    """
    add: Any = get_bias_dropout_add
    if config.sandwich_norm:
        add = ModuleSpec(PostNormAdd, params={"norm": parts.norm, "config": engine})
    return ModuleSpec(
        TransformerLayer,
        submodules=TransformerLayerSubmodules(
            input_layernorm=parts.norm,
            self_attention=_attention(config, parts),
            self_attn_bda=add,
            pre_mlp_layernorm=parts.norm,
            mlp=_feed_forward(config, layer, parts),
            mlp_bda=add,
        ),
    )


def block_spec(
    config: ModelConfig, engine: Any, *, vp_stage: int | None = None, parts: Parts | None = None
) -> TransformerBlockSubmodules:
    """Return what this process's layers are built of.

    Args:
        config: The model.
        engine: The engine's configuration.
        vp_stage: Which of the process's pieces of the model, in an interleaved pipeline.
        parts: To build them from; the best at hand if not given.
    """
    parts = parts or parts_at_hand(config)
    first = get_transformer_layer_offset(engine, vp_stage=vp_stage)
    count = get_num_layers_to_build(engine, vp_stage=vp_stage)
    return TransformerBlockSubmodules(
        layer_specs=[layer_spec(config, engine, layer, parts) for layer in range(first, first + count)],
        layer_norm=parts.norm,
    )
