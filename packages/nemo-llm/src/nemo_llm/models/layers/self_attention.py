"""The engine's attention layers, with rotary embedding from a table and biases as the model has them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from megatron.core.tensor_parallel.mappings import (
    copy_to_tensor_model_parallel_region,
    gather_from_tensor_model_parallel_region,
    scatter_to_sequence_parallel_region,
)
from megatron.core.tensor_parallel.random import CheckpointWithoutOutput
from megatron.core.transformer import attention, multi_latent_attention
from torch import Tensor

from nemo_llm.models.layers.linear import make_ours
from nemo_llm.models.layers.rope import rotate

__all__ = ["LatentSelfAttention", "SelfAttention"]


class SelfAttention(attention.SelfAttention):
    """The engine's self-attention; its ``rotary_pos_emb`` is the table of :mod:`nemo_llm.models.layers.rope`.

    Queries and keys are rotated as soon as they are made, so that whatever comes after (a cache, recomputation of
    attention alone, Transformer Engine's kernels) sees them rotated.
    """

    def __init__(self, config: Any, submodules: Any, layer_number: int, **options: Any) -> None:
        model = config.model
        if model.attention_bias != config.add_bias_linear:
            config = copy.copy(config)
            config.add_bias_linear = model.attention_bias
        super().__init__(config, submodules, layer_number, **options)
        self.interleaved = model.rope.interleaved
        self.window = model.window_of(layer_number - 1)
        self.rotary_kind = 0  # set by the model, which knows the kinds
        self._table: Tensor | None = None

    def forward(self, hidden_states: Tensor, attention_mask: Any, *args: Any, **options: Any) -> Any:
        """Attend; see the engine."""
        table = options.pop("rotary_pos_emb", None)
        self._table = None if table is None else table[self.rotary_kind]
        try:
            return super().forward(hidden_states, attention_mask, *args, rotary_pos_emb=None, **options)
        finally:
            self._table = None

    def get_query_key_value_tensors(self, *args: Any, **options: Any) -> Any:
        """Return queries ``(S, B, H, D)``, keys and values ``(S, B, Hk, D)``, rotated."""
        query, key, *rest = super().get_query_key_value_tensors(*args, **options)
        if self._table is not None:
            query = rotate(query, self._table, interleaved=self.interleaved)
            key = rotate(key, self._table, interleaved=self.interleaved)
        return query, key, *rest


class LatentSelfAttention(multi_latent_attention.MLASelfAttention):
    """The engine's multi-head latent attention (DeepSeek-V2, arXiv:2405.04434), rotated from a table likewise."""

    def __init__(self, config: Any, submodules: Any, layer_number: int, **options: Any) -> None:
        if not isinstance(multi_latent_attention.TELinear, type):  # without Transformer Engine a mock is there
            multi_latent_attention.HAVE_TE = False
        super().__init__(config, submodules, layer_number, **options)
        for name in ("linear_q_down_proj", "linear_kv_down_proj"):
            make_ours(getattr(self, name, None))
        self.rotary_pos_emb = None
        self.interleaved = config.model.rope.interleaved
        self.window = None
        self.rotary_kind = 0
        self._table: Tensor | None = None

    def forward(self, hidden_states: Tensor, attention_mask: Any, *args: Any, **options: Any) -> Any:
        """Attend; see the engine."""
        table = options.pop("rotary_pos_emb", None)
        self._table = None if table is None else table[self.rotary_kind]
        try:
            return super().forward(hidden_states, attention_mask, *args, rotary_pos_emb=None, **options)
        finally:
            self._table = None

    def get_query_key_value_tensors(
        self, hidden_states: Tensor, *args: Any, **options: Any
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return queries and keys ``(S, B, H, nope + rope)``, values ``(S, B, H, value)``, and the latent ones.

        The engine's own takes its positions from the length of the sequence alone, and loses the other processes'
        gradients of the shared rotated key under tensor parallelism.
        """
        config = self.config
        if config.q_lora_rank is None:
            q_latent = hidden_states
        else:
            q_latent = self.q_layernorm(self._within(self._whole(self.linear_q_down_proj(hidden_states)[0])))
        combined = self._whole(self.linear_kv_down_proj(hidden_states)[0])
        kv_latent, k_rope = combined.split([config.kv_lora_rank, config.qk_pos_emb_head_dim], dim=-1)
        kv_latent = self.kv_layernorm(self._within(kv_latent))
        k_rope = copy_to_tensor_model_parallel_region(k_rope, group=self.tp_group)
        if not self.recompute_up_proj:
            return *self._up(q_latent, kv_latent, k_rope, self._table), q_latent, kv_latent
        self.qkv_up_checkpoint = CheckpointWithoutOutput()
        query, key, value = self.qkv_up_checkpoint.checkpoint(self._up, q_latent, kv_latent, k_rope, self._table)
        return query, key, value, q_latent, kv_latent

    def _whole(self, x: Tensor) -> Tensor:
        """Return all columns, where each process has made some."""
        return gather_from_tensor_model_parallel_region(x, group=self.tp_group) if self.world_size > 1 else x

    def _within(self, x: Tensor) -> Tensor:
        """Return this process's part of the sequence, where norms are divided along it."""
        return scatter_to_sequence_parallel_region(x, group=self.tp_group) if self.config.sequence_parallel else x

    def _up(self, q_latent: Tensor, kv_latent: Tensor, k_rope: Tensor, table: Tensor | None) -> tuple[Tensor, ...]:
        config = self.config
        project = self.linear_q_proj if config.q_lora_rank is None else self.linear_q_up_proj
        heads = self.num_attention_heads_per_partition
        q = project(q_latent)[0]
        q = q.view(*q.shape[:2], heads, self.q_head_dim)
        q_plain, q_rope = q.split([config.qk_head_dim, config.qk_pos_emb_head_dim], dim=-1)
        kv = self.linear_kv_up_proj(kv_latent)[0]
        kv = kv.view(*kv.shape[:2], heads, config.qk_head_dim + config.v_head_dim)
        k_plain, value = kv.split([config.qk_head_dim, config.v_head_dim], dim=-1)
        k_rope = k_rope[:, :, None]
        if table is not None:
            q_rope = rotate(q_rope, table, interleaved=self.interleaved)
            k_rope = rotate(k_rope, table, interleaved=self.interleaved)
        query = torch.cat([q_plain, q_rope], dim=-1)
        key = torch.cat([k_plain, k_rope.expand(-1, -1, heads, -1)], dim=-1)
        return query, key, value
