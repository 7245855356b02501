"""Attention in blocks: exact, with memory that grows with the block and not with the square of the text.

For what the fused kernels do not do (soft-capped scores, windows over long texts) and for what is only ever at hand in
parts (ring attention). Scores are computed block by block, forwards and again backwards, from the logarithm of the
softmax's denominator, as in FlashAttention (Dao, 2023, arXiv:2307.08691).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "Rules",
    "attend_blockwise",
    "block_backward",
    "block_forward",
    "block_mask",
    "merge",
    "pieces",
    "reach",
    "visible",
]

#: Queries of a block, by kind of device: scores should fit a CPU's cache, and fill a GPU.
BLOCKS = {"cpu": 64, "cuda": 512}


@dataclass(frozen=True)
class Rules:
    """Which keys a query sees, and how their score is computed.

    Attributes:
        scale: What the product of query and key is multiplied by.
        causal: Whether a query sees no key behind it.
        window: How many keys it sees, its own included.
        softcap: Scores become ``softcap * tanh(score / softcap)``.
    """

    scale: float
    causal: bool = True
    window: int | None = None
    softcap: float | None = None


def visible(
    rules: Rules,
    queries: Tensor,
    keys: Tensor,
    query_segments: Tensor | None = None,
    key_segments: Tensor | None = None,
) -> Tensor | None:
    """Return which keys each query sees; None if each sees all.

    Args:
        rules: The rules.
        queries: ``(Sq,)`` or ``(B, Sq)``, positions.
        keys: ``(Sk,)`` or ``(B, Sk)``, positions.
        query_segments: ``(B, Sq)``, the document that each belongs to; a query sees only its own.
        key_segments: ``(B, Sk)``.

    Returns:
        ``(1, 1, Sq, Sk)`` or ``(B, 1, Sq, Sk)``, boolean.

    >>> three = torch.arange(3)
    >>> visible(Rules(1.0, window=2), three, three).int().squeeze().tolist()
    [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """
    seen: Tensor | None = None
    distance = queries[..., :, None] - keys[..., None, :]
    if rules.causal:
        seen = distance >= 0
    if rules.window is not None:
        near = distance < rules.window
        seen = near if seen is None else seen & near
        if not rules.causal:
            seen = seen & (distance > -rules.window)
    if query_segments is not None and key_segments is not None:
        same = query_segments[:, :, None] == key_segments[:, None, :]
        seen = same if seen is None else seen & same
    if seen is None:
        return None
    return seen[None, None] if seen.dim() == 2 else seen[:, None]


def reach(rules: Rules, query_start: int, query_count: int, key_start: int, key_count: int) -> slice | None:
    """Return the part of a run of keys that a run of queries can see, or None if it is empty.

    >>> reach(Rules(1.0, window=4), 8, 4, 0, 32)
    slice(5, 12, None)
    """
    first, last = 0, key_count
    if rules.causal:
        last = min(last, query_start + query_count - key_start)
    if rules.window is not None:
        first = max(first, query_start - rules.window + 1 - key_start)
        last = min(last, query_start + query_count + rules.window - 1 - key_start)
    return slice(first, last) if first < last else None


def block_mask(
    rules: Rules, query_start: int, queries: int, key_start: int, keys: int, segments: Any, device: torch.device
) -> Tensor | None:
    """Return :func:`visible` for two runs of positions; None where that can be told from the numbers."""
    last = key_start + keys - 1
    late = rules.causal and last > query_start
    far = rules.window is not None and (
        query_start + queries - 1 - key_start >= rules.window or last - query_start >= rules.window
    )
    if segments is None and not late and not far:
        return None
    rows = torch.arange(query_start, query_start + queries, device=device)
    columns = torch.arange(key_start, key_start + keys, device=device)
    return visible(rules, rows, columns, *(segments or (None, None)))


def _grouped(q: Tensor, kv_heads: int) -> Tensor:
    B, H, S, D = q.shape
    return q.reshape(B, kv_heads, H // kv_heads * S, D)


def _exact(x: Tensor) -> Tensor:
    # Products of half precision are accumulated in float32 on a GPU; on a CPU they are no faster than float32's.
    return x.float() if x.device.type == "cpu" else x


def _scores(q: Tensor, k: Tensor, rules: Rules, seen: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return scores ``(B, Hk, G, Sq, Sk)`` in float32, and what the cap let through of them (its tanh)."""
    B, H, S, _ = q.shape
    Hk = k.shape[1]
    product = torch.matmul(_exact(_grouped(q, Hk)), _exact(k).transpose(-1, -2)).float()
    scores = product.mul_(rules.scale).view(B, Hk, H // Hk, S, k.shape[2])
    bent = None
    if rules.softcap is not None:
        bent = torch.tanh(scores / rules.softcap)
        scores = bent * rules.softcap
    if seen is not None:
        scores = scores.masked_fill(~seen[:, :, None], float("-inf"))
    return scores, bent


def block_forward(q: Tensor, k: Tensor, v: Tensor, rules: Rules, seen: Tensor | None) -> tuple[Tensor, Tensor]:
    """Attend to one block of keys.

    Args:
        q: ``(B, H, Sq, D)``.
        k: ``(B, Hk, Sk, D)``; H is a multiple of Hk.
        v: ``(B, Hk, Sk, Dv)``.
        rules: How scores are computed.
        seen: Of :func:`visible`.

    Returns:
        ``(B, H, Sq, Dv)`` and the logarithms of the denominators ``(B, H, Sq)``, both in float32; zeros and minus
        infinity where a query sees nothing.
    """
    B, H, S, _ = q.shape
    scores, _bent = _scores(q, k, rules, seen)
    highest = scores.amax(-1, keepdim=True)
    weights = scores.sub_(_finite(highest)).exp_()
    total = weights.sum(-1, keepdim=True)
    out = torch.matmul(weights.view(B, k.shape[1], -1, k.shape[2]).to(_exact(v).dtype), _exact(v)).float()
    out = out.view(*weights.shape[:4], -1) / total.clamp_min(1e-30)
    return out.view(B, H, S, -1), (highest + total.log()).view(B, H, S)


def _finite(lse: Tensor) -> Tensor:
    return torch.where(lse == float("-inf"), 0.0, lse)


def block_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, lse: Tensor, delta: Tensor, rules: Rules, seen: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of one block.

    Args:
        grad: ``(B, H, Sq, Dv)``, gradient of the output over all blocks.
        q: ``(B, H, Sq, D)``.
        k: ``(B, Hk, Sk, D)``.
        v: ``(B, Hk, Sk, Dv)``.
        lse: ``(B, H, Sq)``, over all blocks.
        delta: ``(B, H, Sq)``, sum of ``grad * output``.
        rules: How scores are computed.
        seen: Of :func:`visible`.

    Returns:
        Gradients of q, k and v, in float32.
    """
    B, H, S, _ = q.shape
    Hk, T = k.shape[1], k.shape[2]
    scores, bent = _scores(q, k, rules, seen)
    weights = torch.exp(scores - _finite(lse).view(B, Hk, H // Hk, S, 1))
    rows = _exact(_grouped(grad, Hk))
    dv = torch.matmul(weights.view(B, Hk, -1, T).to(rows.dtype).transpose(-1, -2), rows).float()
    dweights = torch.matmul(rows, _exact(v).transpose(-1, -2)).float().view_as(weights)
    dscores = weights.mul_(dweights.sub_(delta.view(B, Hk, H // Hk, S, 1)))
    if bent is not None:
        dscores = dscores * (1 - bent * bent)
    dscores = dscores.mul_(rules.scale).view(B, Hk, -1, T)
    dq = torch.matmul(dscores.to(rows.dtype), _exact(k)).float().view(B, H, S, -1)
    dk = torch.matmul(dscores.to(rows.dtype).transpose(-1, -2), _exact(_grouped(q, Hk))).float()
    return dq, dk, dv


def merge(out: Tensor, lse: Tensor, other: Tensor, other_lse: Tensor) -> tuple[Tensor, Tensor]:
    """Return what attention to two disjoint sets of keys is to both together."""
    total = torch.logaddexp(lse, other_lse)
    base = _finite(total)
    return out * torch.exp(lse - base)[..., None] + other * torch.exp(other_lse - base)[..., None], total


def pieces(spans: tuple[tuple[int, int], ...], device: torch.device) -> Iterator[tuple[slice, int]]:
    """Yield runs of positions in blocks: where each is among all, and its first position.

    >>> list(pieces(((0, 4), (100, 70)), torch.device("cpu")))
    [(slice(0, 4, None), 0), (slice(4, 68, None), 100), (slice(68, 74, None), 164)]
    """
    offset, block = 0, BLOCKS.get(device.type, 512)
    for start, count in spans:
        for begin in range(0, count, block):
            size = min(block, count - begin)
            yield slice(offset + begin, offset + begin + size), start + begin
        offset += count


class _Blockwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, segments: Any, rules: Rules, spans: Any) -> Tensor:
        out = q.new_empty((*q.shape[:3], v.shape[-1]))
        lse = torch.empty(q.shape[:3], dtype=torch.float32, device=q.device)
        ctx.save_for_backward(q, k, v, out, lse, *(() if segments is None else segments))
        ctx.rules, ctx.spans = rules, spans
        q, k, v = _exact(q), _exact(k), _exact(v)
        for rows, keys, seen in _blocks(k.shape[2], q.device, segments, rules, spans):
            part, part_lse = block_forward(q[:, :, rows], k[:, :, keys], v[:, :, keys], rules, seen)
            out[:, :, rows], lse[:, :, rows] = part, part_lse
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        q, k, v, out, lse, *rest = ctx.saved_tensors
        kinds = q.dtype, k.dtype, v.dtype
        dq = torch.empty(q.shape, dtype=torch.float32, device=q.device)
        dk, dv = (torch.zeros(x.shape, dtype=torch.float32, device=x.device) for x in (k, v))
        delta = (grad.float() * out.float()).sum(-1)
        q, k, v, grad = _exact(q), _exact(k), _exact(v), _exact(grad)
        for rows, keys, seen in _blocks(k.shape[2], q.device, tuple(rest) or None, ctx.rules, ctx.spans):
            a, b, c = block_backward(
                grad[:, :, rows], q[:, :, rows], k[:, :, keys], v[:, :, keys],
                lse[:, :, rows], delta[:, :, rows], ctx.rules, seen,
            )  # fmt: skip
            dq[:, :, rows] = a
            dk[:, :, keys] += b
            dv[:, :, keys] += c
        return dq.to(kinds[0]), dk.to(kinds[1]), dv.to(kinds[2]), None, None, None


def _blocks(
    length: int, device: torch.device, segments: tuple[Tensor, Tensor] | None, rules: Rules, spans: Any
) -> Iterator[tuple[slice, slice, Tensor | None]]:
    first = None
    if segments is not None and device.type == "cpu":  # elsewhere it would have to be waited for
        first = first_of_segment(*segments)
    for rows, start in pieces(spans, device):
        size = rows.stop - rows.start
        keys = reach(rules, start, size, 0, length)
        if keys is not None and first is not None:
            keys = slice(max(keys.start, min(keys.stop - 1, int(first[:, rows].min()))), keys.stop)
        keys = keys or slice(0, 1)  # masked below, so that the rows come out as zeros
        pair = None if segments is None else (segments[0][:, rows], segments[1][:, keys])
        yield rows, keys, block_mask(rules, start, size, keys.start, keys.stop - keys.start, pair, device)


def first_of_segment(query_segments: Tensor, key_segments: Tensor) -> Tensor:
    """Return the index of the first key of each query's segment, ``(B, Sq)``.

    >>> segments = torch.tensor([[1, 1, 2, 2, 2]])
    >>> first_of_segment(segments, segments).tolist()
    [[0, 0, 2, 2, 2]]
    """
    B, T = key_segments.shape
    lowest = min(int(key_segments.min()), int(query_segments.min()))
    highest = max(int(key_segments.max()), int(query_segments.max()))
    places = torch.arange(T, device=key_segments.device).expand(B, T)
    first = torch.full((B, highest - lowest + 1), T, device=key_segments.device)
    first.scatter_reduce_(1, (key_segments - lowest).long(), places, "amin")
    return first.gather(1, (query_segments - lowest).long())


def attend_blockwise(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rules: Rules,
    segments: tuple[Tensor, Tensor] | None = None,
    spans: tuple[tuple[int, int], ...] | None = None,
) -> Tensor:
    """Attend, a block of queries at a time; differentiable.

    Args:
        q: ``(B, H, Sq, D)``.
        k: ``(B, Hk, Sk, D)``; the keys are at positions ``0 .. Sk - 1``.
        v: ``(B, Hk, Sk, Dv)``.
        rules: Which keys a query sees, and how their score is computed.
        segments: ``(B, Sq)`` and ``(B, Sk)``: documents in a packed row; each sees itself only.
        spans: Position of the first query and number of queries, for each run of them; the last ``Sq`` positions if
            not given.

    Returns:
        ``(B, H, Sq, Dv)``.
    """
    if spans is None:
        spans = ((k.shape[2] - q.shape[2], q.shape[2]),)
    return _Blockwise.apply(q, k, v, segments, rules, spans)
