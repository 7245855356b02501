"""Attention between queries, keys and values, over torch's fused kernels: the heart of the engine's layers."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core.errors import ConfigError
from nemo_llm.models.layers.blockwise import Rules, attend_blockwise, visible
from nemo_llm.models.layers.context import gather_sequence, spans_of
from nemo_llm.models.layers.linear import widen
from nemo_llm.models.layers.masks import Masks
from nemo_llm.models.layers.ring import attend_ring

__all__ = ["SDPAttention"]

#: A mask with more elements than this is not made at once; attention goes block by block instead.
LARGEST_MASK = 1 << 27


class SDPAttention(nn.Module):
    """Attention over ``scaled_dot_product_attention``, in the place of the engine's core attention.

    Heads of keys and values are shared by groups of queries' heads without being repeated. Causal attention takes the
    kernel's fast path; sliding windows and packed documents a mask, or, where that would be too large, blocks; soft-
    capped scores blocks in any case. With context parallelism each process has two chunks of the sequence
    (:mod:`nemo_llm.models.layers.context`) and either gathers all keys and values (``all_gather``) or attends to them
    in turn as they go round (``p2p``).

    Args:
        config: The engine's configuration (:mod:`nemo_llm.models.engine_configs`).
        layer_number: From 1, over the whole model.
        attn_mask_type: Of the engine; ``causal`` or anything else.
        attention_type: ``self`` or ``cross``.
        softmax_scale: What products of queries and keys are multiplied by; ``1 / sqrt(D)`` if not given.
        cp_comm_type: ``all_gather`` or ``p2p``.
        pg_collection: The engine's process groups.
        options: What the engine hands to its own core attention; not needed.

    Attributes:
        masks: Shared among the layers of a model.
    """

    def __init__(
        self,
        config: Any,
        layer_number: int,
        attn_mask_type: Any = None,
        attention_type: str = "self",
        attention_dropout: float | None = None,
        softmax_scale: float | None = None,
        cp_comm_type: str | None = None,
        pg_collection: Any = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.config = config
        model = getattr(config, "model", None)
        self.causal = getattr(attn_mask_type, "name", "causal") == "causal" and attention_type == "self"
        self.cross = attention_type == "cross"
        self.window: int | None = None if model is None else model.window_of(layer_number - 1)
        self.softcap: float | None = None if model is None else model.attention_softcap
        self.scale = softmax_scale
        self.dropout = config.attention_dropout if attention_dropout is None else attention_dropout
        self.masks = Masks()
        self.context: Any = None
        if config.context_parallel_size > 1:
            self.context = pg_collection.cp
            self.ring = (cp_comm_type or "all_gather") == "p2p"
            if cp_comm_type not in (None, "p2p", "all_gather"):
                raise ConfigError(
                    f"context parallelism by {cp_comm_type!r} is not possible here", hint="give all_gather or p2p"
                )
            if self.ring and self.dropout:
                raise ConfigError("ring attention has no dropout", hint="set dropout to 0, or use all_gather")
        if self.softcap is not None and self.dropout:
            raise ConfigError("soft-capped attention has no dropout", hint="set dropout to 0")

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None = None,
        attn_mask_type: Any = None,
        attention_bias: Tensor | None = None,
        packed_seq_params: Any = None,
    ) -> Tensor:
        """Attend.

        Args:
            query: ``(S, B, H, D)``.
            key: ``(T, B, Hk, D)``.
            value: ``(T, B, Hk, Dv)``.
            attention_mask: None; or the segments, int32 ``(B, S)``: 0 is padding, 1 and up the documents of a packed
                row, which see only themselves (for cross attention ``(B, T)``: keys of segment 0 are not seen); or a
                boolean ``(B or 1, 1, S, T)``, True where nothing is to be seen, as the engine's own masks are.
            attn_mask_type: Not needed.
            attention_bias: Added to the scores, ``(B or 1, H, S, T)``.
            packed_seq_params: Not supported: packed rows have segments.

        Returns:
            ``(S, B, H * Dv)``.
        """
        if packed_seq_params is not None:
            raise ConfigError("packed_seq_params are not supported", hint="give segment ids (B, S) as attention_mask")
        q, k, v = (x.permute(1, 2, 0, 3) for x in (query, key, value))
        rules = Rules(self.scale or 1.0 / math.sqrt(q.shape[-1]), self.causal, self.window, self.softcap)
        if self.context is not None and not self.cross:
            out = self._in_context(q, k, v, rules, attention_mask)
        else:
            out = self._alone(q, k, v, rules, attention_mask, attention_bias)
        return out.permute(2, 0, 1, 3).reshape(query.shape[0], query.shape[1], -1)

    def _alone(self, q: Tensor, k: Tensor, v: Tensor, rules: Rules, mask: Tensor | None, bias: Tensor | None) -> Tensor:
        S, T = q.shape[2], k.shape[2]
        segments: Tensor | None = None
        seen: Tensor | None = None
        if mask is not None and mask.dim() == 4:
            seen = ~mask if mask.dtype == torch.bool else mask == 0
        elif mask is not None and self.cross:
            seen = (mask != 0)[:, None, None]
        else:
            segments = mask
        if rules.window is not None and rules.window >= T:
            rules = Rules(rules.scale, rules.causal, None, rules.softcap)
        plain = segments is None and rules.window is None
        if seen is None and bias is None:
            if plain and rules.softcap is None:
                return self._fused(q, k, v, rules, None, causal=rules.causal)
            if rules.softcap is not None or (
                not (self.training and self.dropout) and self._better_in_blocks(S, T, rules, segments)
            ):
                return attend_blockwise(q, k, v, rules, None if segments is None else (segments, segments))
        if seen is None and (rules.causal or not plain):
            seen = self.masks.get(rules, S, T, segments, q.device)
        if bias is not None:
            seen = bias if seen is None else bias.masked_fill(~seen, float("-inf"))
        return self._fused(q, k, v, rules, seen)

    def _better_in_blocks(self, queries: int, keys: int, rules: Rules, segments: Tensor | None) -> bool:
        """Whether a mask would be too large, or blocks leave out most of what the fused kernel computes and hides."""
        rows = 1 if segments is None else segments.shape[0]
        if rows * queries * keys > LARGEST_MASK or (rules.window is not None and 2 * rules.window <= keys):
            return True
        return segments is not None and rules.causal and self.masks.short(segments)

    def _fused(
        self, q: Tensor, k: Tensor, v: Tensor, rules: Rules, mask: Tensor | None, causal: bool = False
    ) -> Tensor:
        if rules.softcap is not None:
            raise ConfigError("soft-capped attention takes segments, no other mask or bias")
        dropout = self.dropout if self.training else 0.0
        if causal and q.shape[2] == 1:
            causal = False  # a single query sees itself; the kernel without a mask is the faster
        wide = widen(q)
        if wide is not q:
            return self._fused(wide, widen(k), widen(v), rules, mask, causal).to(q.dtype)
        with self._random(dropout):
            return F.scaled_dot_product_attention(
                q, k, v, mask, dropout, causal, scale=rules.scale, enable_gqa=q.shape[1] != k.shape[1]
            )

    def _random(self, dropout: float) -> contextlib.AbstractContextManager[Any]:
        # Heads are divided by tensor parallelism, so each process needs numbers of its own; with sequence parallelism
        # the engine has seen to that for the whole layer.
        if not dropout or self.config.sequence_parallel:
            return contextlib.nullcontext()
        from megatron.core.tensor_parallel import get_cuda_rng_tracker

        return get_cuda_rng_tracker().fork()

    def _in_context(self, q: Tensor, k: Tensor, v: Tensor, rules: Rules, segments: Tensor | None) -> Tensor:
        if segments is not None and segments.dim() != 2:
            raise ConfigError("context parallelism takes segments (B, S) as attention mask, and no other")
        if self.ring:
            return attend_ring(q, k, v, rules, self.context, segments)
        # Keys and values travel together, sequence first.
        together = gather_sequence(torch.cat([k, v], dim=-1).permute(2, 0, 1, 3), self.context).permute(1, 2, 0, 3)
        k, v = together.split([k.shape[-1], v.shape[-1]], dim=-1)
        spans = spans_of(self.context.rank(), self.context.size(), q.shape[2])
        pair = None
        if segments is not None:
            whole = gather_sequence(segments.t().contiguous(), self.context).t()
            pair = (segments, whole)
        if not self.dropout or not self.training:
            return attend_blockwise(q, k, v, rules, pair, spans)
        queries = torch.cat([torch.arange(start, start + count, device=q.device) for start, count in spans])
        keys = torch.arange(k.shape[2], device=q.device)
        return self._fused(q, k, v, rules, visible(rules, queries, keys, *(pair or (None, None))))

    def sharded_state_dict(self, prefix: str = "", sharded_offsets: Any = (), metadata: Any = None) -> dict[str, Any]:
        """Return nothing: attention has no weights."""
        return {}
