"""Attention of new tokens over what is kept of the old ones, from the weights of the engine's modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional

from nemo_llm.generation.cache import LayerCache, attention_mask
from nemo_llm.generation.linear import Matrix
from nemo_llm.generation.norm import norm
from nemo_llm.models.config import ModelConfig

__all__ = ["SelfAttention", "Step", "attend", "rotate"]


@dataclass
class Step:
    """What all layers share in one step.

    Attributes:
        columns: Of the new tokens.
        padding: (B), columns of padding at the left of each row; None if no row has any.
        rotations: Of each kind of layer, what :func:`rotate` takes: two tensors (B or 1, n, 1, 1, R).
        masks: Those made in this step.
    """

    columns: range
    padding: Tensor | None
    rotations: Sequence[tuple[Tensor, Tensor]]
    masks: dict[tuple[int, int | None], Tensor | None] = field(default_factory=dict)

    def mask(self, cache: LayerCache, device: torch.device) -> Tensor | None:
        """Return the mask over what a layer keeps; see :func:`~nemo_llm.generation.cache.attention_mask`."""
        key = (cache.first, cache.window)
        if key not in self.masks:
            self.masks[key] = attention_mask(self.columns, cache.first, self.padding, cache.window, device)
        return self.masks[key]


class SelfAttention:
    """Attention with heads of queries in groups, from an engine's ``SelfAttention``.

    Args:
        module: Of the engine.
        model: The architecture.
        kind: Which of a step's rotations is its.
        pack: See :class:`~nemo_llm.generation.linear.Weight`.
    """

    def __init__(self, module: Any, model: ModelConfig, kind: int, *, pack: bool = False) -> None:
        self.qkv = Matrix(module.linear_qkv, pack=pack)
        self.output = Matrix(module.linear_proj, adds_up=True, pack=pack)
        self.q_norm, self.k_norm = _norm(module.q_layernorm), _norm(module.k_layernorm)
        self.kind, self.interleaved = kind, model.rope.interleaved
        self.rotates = model.positions == "rope"
        self.dim = model.head_size
        self.scale = model.query_scale if model.query_scale is not None else self.dim**-0.5
        self.softcap = model.attention_softcap
        self.tensor_group = module.linear_qkv.tp_group
        self.processes = self.tensor_group.size()
        self.groups = max(1, model.kv_heads // self.processes)
        self.all_groups = model.kv_heads
        self.per_group = model.num_heads // model.kv_heads

    def __call__(self, x: Tensor, step: Step, cache: LayerCache, last: bool = False) -> Tensor:
        """Return the output (B, n, hidden) for new tokens (B, n, hidden), and keep their keys and values.

        Args:
            x: Normalised.
            step: What all layers share.
            cache: Of this layer.
            last: Only the last token asks: (B, 1, hidden).
        """
        heads, values = self._project(x)
        if self.q_norm is not None and self.k_norm is not None:
            heads = torch.cat((self.q_norm(heads[..., :-1, :]), self.k_norm(heads[..., -1:, :])), -2)
        if self.rotates:
            heads = rotate(heads, *step.rotations[self.kind], interleaved=self.interleaved)
        queries, keys = heads[..., :-1, :], heads[..., -1, :]
        keys, values = cache.append(keys.transpose(1, 2), values.transpose(1, 2))
        mask = step.mask(cache, x.device)
        if last:
            queries, mask = queries[:, -1:], None if mask is None else mask[:, :, -1:]
        return self.output(attend(queries, keys, values, mask, scale=self.scale, softcap=self.softcap))

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return queries and the key of each group (B, n, G, Q + 1, D), and its value (B, n, G, D)."""
        packed = self.qkv(x)
        if self.all_groups >= self.processes:
            heads = packed.unflatten(-1, (self.groups, self.per_group + 2, self.dim))
            return heads[..., :-1, :], heads[..., -1, :]
        # More processes than heads of keys: the engine divides rows wherever it comes to; several share a group.
        parts = [torch.empty_like(packed) for _ in range(self.processes)]
        distributed.all_gather(parts, packed.contiguous(), group=self.tensor_group)
        share, rank = self.processes // self.all_groups, self.tensor_group.rank()
        heads = torch.cat(parts, -1).unflatten(-1, (self.all_groups, self.per_group + 2, self.dim))
        heads = heads[:, :, rank // share : rank // share + 1]
        own = self.per_group // share
        start = rank % share * own
        return torch.cat((heads[..., start : start + own, :], heads[..., -2:-1, :]), -2), heads[..., -1, :]


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *, scale: float, softcap: float | None = None
) -> Tensor:
    """Attend.

    Args:
        queries: (B, n, G, Q, D), Q heads for each head of keys.
        keys: (B, G, T, D); the last n are those of the queries' tokens.
        values: (B, G, T, E).
        mask: (B or 1, 1, n, T) bool; None: each sees itself and all before it. Of several tokens without a mask the
            first is the first of T.
        scale: What scores are multiplied by.
        softcap: Bound of the scores.

    Returns:
        (B, n, G * Q * E)

    Example:
        >>> queries, keys, values = torch.ones(1, 1, 2, 3, 4), torch.ones(1, 2, 5, 4), torch.ones(1, 2, 5, 4)
        >>> attend(queries, keys, values, None, scale=0.5).shape
        torch.Size([1, 1, 24])
    """
    batch, count, groups, per_group, _ = queries.shape
    if softcap is not None:
        if mask is None and count > 1:
            mask = torch.ones(count, count, dtype=torch.bool, device=queries.device).tril()[None, None]
        scores = torch.einsum("bngqd,bgtd->bgqnt", queries, keys) * scale
        scores = torch.tanh(scores / softcap) * softcap
        if mask is not None:
            scores = scores.masked_fill(~mask[:, :, None], -torch.inf)
        weights = torch.softmax(scores, -1, dtype=torch.float32).to(values.dtype)
        return torch.einsum("bgqnt,bgte->bngqe", weights, values).flatten(2)
    if count == 1:  # the heads of a group are as so many tokens that see the same
        single = _attend_plainly if not queries.is_cuda and queries.dtype == torch.float32 else _attend_fused
        return single(queries[:, 0], keys, values, mask, scale).reshape(batch, 1, -1)
    heads = queries.permute(0, 2, 3, 1, 4).reshape(batch, groups * per_group, count, -1)
    found = functional.scaled_dot_product_attention(
        heads, keys, values, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=per_group > 1
    )
    return found.transpose(1, 2).reshape(batch, count, -1)


def _attend_fused(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Return (B, G, Q, E) for queries (B, G, Q, D) of one token."""
    return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=scale)


def _attend_plainly(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Likewise (B * G, Q, E): scores of one token are few, and without the blocks of the fused kernel it is faster."""
    nothing = queries.new_empty(1, 1, 1)
    keys = keys.flatten(0, 1).transpose(1, 2)
    scores = torch.baddbmm(nothing, queries.flatten(0, 1), keys, beta=0, alpha=scale)
    if mask is not None:
        scores.view(len(queries), -1, scores.shape[-1]).masked_fill_(~mask[:, 0], -torch.inf)
    return torch.bmm(torch.softmax(scores, -1), values.flatten(0, 1))


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, *, interleaved: bool) -> Tensor:
    """Turn the pairs of dimensions of x (..., D); the table's R may be fewer: the others stay.

    Args:
        x: (B, n, G, Q, D).
        cosine: (B or 1, n, 1, 1, R), of both dimensions of each pair.
        sine: Likewise; negative for the first of each pair.
        interleaved: Whether neighbouring dimensions are a pair.
    """
    size = cosine.shape[-1]
    part = x if size == x.shape[-1] else x[..., :size]
    if interleaved:
        other = part.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    else:
        other = part.roll(size // 2, -1)
    turned = torch.addcmul(part * cosine, other, sine)
    return turned if size == x.shape[-1] else torch.cat((turned, x[..., size:]), -1)


def _norm(module: Any) -> Any:
    """Return a norm, or None where the engine has none."""
    return norm(module) if module is not None and next(module.parameters(), None) is not None else None
