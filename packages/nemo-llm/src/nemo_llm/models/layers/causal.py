"""Causal attention on a processor without a GPU, several heads at a time.

The arithmetic is that of FlashAttention (Dao, 2023, arXiv:2307.08691): scores exist for a block of rows at a time, and
are computed again in the backward pass from the logarithm of the softmax's denominator. What differs from torch's own
kernel for processors is where the time goes: products of several heads are one call of the matrix library, blocks are
low enough that little is computed above the diagonal, the backward pass computes scores transposed, so that of its five
products one only reads a factor against the grain, and exponentials are those of two, which vectorise where those of
e go through a library that is slow on what a mask leaves.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor

from nemo_llm.models.layers.linear import full

__all__ = ["causal_attention"]

_LOG2E = math.log2(math.e)


def _blocks(length: int) -> tuple[int, int]:
    """Return positions of a block, and heads that are computed together: what fits the second-level cache."""
    return (64, 8) if length <= 768 else (128, 4)


#: Queries that the backward pass takes at a time, against one block of keys.
QUERIES = 1024


@functools.lru_cache(maxsize=8)
def _above_diagonal(size: int, group: int, dtype: torch.dtype) -> Tensor:
    """Return ``(size * group, size)``: minus infinity where a key is behind its query, else 0."""
    mask = torch.full((size, size), float("-inf"), dtype=dtype).triu_(1)
    return mask.repeat_interleave(group, 0)


def _items(x: Tensor) -> Tensor:
    """Return ``(B * Hk, S, D)`` of ``(B, Hk, S, D)``, rows one behind the other: those far apart meet in the cache."""
    return full(x).contiguous().flatten(0, 1)


def _rows(x: Tensor, kv_heads: int) -> Tensor:
    """Return ``(B * Hk, S * G, D)`` of ``(B, Hk * G, S, D)``: a position's queries that share keys lie together."""
    if x.shape[1] == kv_heads:
        return _items(x)
    B, H, S, D = x.shape
    return full(x).view(B, kv_heads, H // kv_heads, S, D).transpose(2, 3).reshape(B * kv_heads, -1, D)


class _Sequence:
    """A tensor ``(S, B, H, D)`` that products write to as ``(B * Hk, S * G, D)``."""

    def __init__(self, like: Tensor, kv_heads: int, dim: int) -> None:
        B, H, S, _ = like.shape
        self.whole = full(like[:0]).new_empty(S, B, H, dim)
        self.shape = (B, kv_heads, H // kv_heads, S)
        self.rows = self.whole.new_empty(B * kv_heads, S * H // kv_heads, dim)

    def heads(self, dtype: torch.dtype) -> Tensor:
        """Return ``(B, H, S, D)``, a view of ``(S, B, H, D)``."""
        B, Hk, G, S = self.shape
        self.whole.view(S, B, Hk, G, -1).copy_(self.rows.view(B, Hk, S, G, -1).permute(2, 0, 1, 3, 4))
        return self.whole.to(dtype).permute(1, 2, 0, 3)


class _Causal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        kv_heads, S = k.shape[1], q.shape[2]
        G = q.shape[1] // kv_heads
        queries, keys, values = _rows(q, kv_heads), _items(k), _items(v)
        out = _Sequence(q, kv_heads, v.shape[-1])
        lse = queries.new_empty(queries.shape[:2])
        size, together = _blocks(S)
        room = queries.new_empty(min(together, len(keys)) * min(size, S) * G * S)
        for first in range(0, len(keys), together):
            item = slice(first, first + together)
            n = len(keys[item])
            for start in range(0, S, size):
                end = min(start + size, S)
                row = slice(start * G, end * G)
                scores = room[: n * (end - start) * G * end].view(n, -1, end)
                torch.baddbmm(scores, queries[item, row], keys[item, :end].mT, beta=0, alpha=scale * _LOG2E, out=scores)
                scores[:, :, start:] += _above_diagonal(end - start, G, scores.dtype)
                highest = scores.amax(-1, keepdim=True)
                total = scores.sub_(highest).exp2_().sum(-1, keepdim=True)
                part = out.rows[item, row]
                torch.bmm(scores, values[item, :end], out=part)
                part.div_(total)
                lse[item, row] = highest.add_(total.log2()).squeeze(-1)
        found = out.heads(q.dtype)
        ctx.save_for_backward(q, k, v, found, lse)
        ctx.scale = scale
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, out, lse = ctx.saved_tensors
        kv_heads, S, scale = k.shape[1], q.shape[2], ctx.scale
        G = q.shape[1] // kv_heads
        queries, keys, values, grads = _rows(q, kv_heads), _items(k), _items(v), _rows(grad, kv_heads)
        lse = lse[:, None]
        delta = _rows((full(grad) * full(out)).sum(-1, keepdim=True), kv_heads).mT
        dq, dk = _Sequence(q, kv_heads, q.shape[-1]), _Sequence(k, kv_heads, k.shape[-1])
        dv = _Sequence(v, kv_heads, v.shape[-1])
        size, together = _blocks(S)
        room = queries.new_empty(2, min(together, len(keys)) * min(size, S) * min(QUERIES, S) * G)
        for first in range(0, len(keys), together):
            item = slice(first, first + together)
            n = len(keys[item])
            for start in range(0, S, size):
                key = slice(start, min(start + size, S))
                count = key.stop - start
                for begin in range(start, S, QUERIES):
                    row = slice(begin * G, min(begin + QUERIES, S) * G)
                    used = n * count * (row.stop - row.start)
                    weights, change = room[0, :used].view(n, count, -1), room[1, :used].view(n, count, -1)
                    x, g = queries[item, row], grads[item, row]
                    torch.baddbmm(lse[item, :, row], keys[item, key], x.mT, beta=-1, alpha=scale * _LOG2E, out=weights)
                    if begin == start:
                        weights[:, :, : count * G] += _above_diagonal(count, G, weights.dtype).t()
                    weights.exp2_()
                    torch.baddbmm(delta[item, :, row], values[item, key], g.mT, beta=-1, out=change)
                    change.mul_(weights)
                    more = int(begin > start)
                    _add(dv.rows[item, key], weights, g, 1.0, more)
                    _add(dk.rows[item, key], change, x, scale, more)
                    _add(dq.rows[item, row], change.mT, keys[item, key], scale, int(start > 0))
        return dq.heads(q.dtype), dk.heads(k.dtype), dv.heads(v.dtype), None


def _add(to: Tensor, a: Tensor, b: Tensor, factor: float, keep: int) -> None:
    torch.baddbmm(to, a, b, beta=keep, alpha=factor, out=to)


def causal_attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
    """Attend, each position to itself and those before it; differentiable. Half precision is computed in float32.

    Args:
        q: ``(B, H, S, D)``.
        k: ``(B, Hk, S, D)``; H is a multiple of Hk.
        v: ``(B, Hk, S, Dv)``.
        scale: What products of queries and keys are multiplied by; ``1 / sqrt(D)`` if not given.

    Returns:
        ``(B, H, S, Dv)``, laid out as ``(S, B, H, Dv)``.

    >>> x = torch.eye(2).view(1, 1, 2, 2)
    >>> causal_attention(x, x, x)[0, 0, 0].tolist()
    [1.0, 0.0]
    """
    if scale is None:
        scale = 1.0 / math.sqrt(q.shape[-1])
    return _Causal.apply(q, k, v, scale)
