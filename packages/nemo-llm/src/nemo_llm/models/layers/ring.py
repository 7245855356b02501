"""Ring attention (Liu et al., 2023, arXiv:2310.01889): keys and values go round the processes of a divided sequence.

Each process attends to what it holds and merges it into what it has, while the next part is on its way. Backwards the
parts go round once more, with the gradients that each process adds to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, distributed

from nemo_llm.models.layers.blockwise import Rules, block_backward, block_forward, block_mask, merge, pieces, reach
from nemo_llm.models.layers.context import spans_of

__all__ = ["attend_ring"]


def _pass_on(tensors: list[Tensor], group: Any, tag: int = 0) -> tuple[list[Tensor], list[Any]]:
    """Start to send tensors to the next process and to receive the previous one's.

    Args:
        tensors: What to send.
        group: The processes.
        tag: Of the first message, so that two calls under way at once do not get mixed up.
    """
    rank, size = distributed.get_rank(group), distributed.get_world_size(group)
    after = distributed.get_global_rank(group, (rank + 1) % size)
    before = distributed.get_global_rank(group, (rank - 1) % size)
    received = [torch.empty_like(each) for each in tensors]
    if tensors[0].is_cuda:  # NCCL needs them in one batch; gloo must not have them so
        pairs = list(zip(tensors, received, strict=True))
        operations = [distributed.P2POp(distributed.isend, sent, after, group) for sent, _ in pairs]
        operations += [distributed.P2POp(distributed.irecv, got, before, group) for _, got in pairs]
        return received, list(distributed.batch_isend_irecv(operations))
    works = [distributed.isend(each, after, group=group, tag=tag + n) for n, each in enumerate(tensors)]
    works += [distributed.irecv(each, before, group=group, tag=tag + n) for n, each in enumerate(received)]
    return received, works


def _round(tensors: list[Tensor], group: Any) -> Iterator[tuple[int, list[Tensor]]]:
    """Yield each process's tensors, with its rank; the next are on their way meanwhile."""
    rank, size = distributed.get_rank(group), distributed.get_world_size(group)
    for step in range(size):
        works: list[Any] = []
        if step + 1 < size:
            received, works = _pass_on(tensors, group)
        yield (rank - step) % size, tensors
        for work in works:
            work.wait()
        if works:
            tensors = received


def _blocks(
    rules: Rules, rank: int, other: int, size: int, count: int, segments: tuple[Tensor, Tensor] | None, device: Any
) -> Iterator[tuple[slice, slice, Tensor | None]]:
    """Yield rows of queries of ``rank`` with the rows of keys of ``other`` that they see."""
    for rows, first in pieces(spans_of(rank, size, count), device):
        queries, behind = rows.stop - rows.start, 0
        for key_start, key_length in spans_of(other, size, count):
            part = reach(rules, first, queries, key_start, key_length)
            if part is not None:
                keys = slice(behind + part.start, behind + part.stop)
                pair = None if segments is None else (segments[0][:, rows], segments[1][:, keys])
                start, length = key_start + part.start, part.stop - part.start
                yield rows, keys, block_mask(rules, first, queries, start, length, pair, device)
            behind += key_length


class _Ring(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, segments: Any, rules: Rules, group: Any) -> Tensor:
        rank, size = distributed.get_rank(group), distributed.get_world_size(group)
        out = torch.zeros((*q.shape[:3], v.shape[-1]), dtype=torch.float32, device=q.device)
        lse = torch.full(q.shape[:3], float("-inf"), device=q.device)
        travelling = [k.contiguous(), v.contiguous(), *([] if segments is None else [segments])]
        for other, (their_k, their_v, *their_segments) in _round(travelling, group):
            pair = None if segments is None else (segments, their_segments[0])
            for rows, keys, seen in _blocks(rules, rank, other, size, q.shape[2], pair, q.device):
                part = block_forward(q[:, :, rows], their_k[:, :, keys], their_v[:, :, keys], rules, seen)
                out[:, :, rows], lse[:, :, rows] = merge(out[:, :, rows], lse[:, :, rows], *part)
        result = out.to(q.dtype)
        ctx.save_for_backward(q, k, v, result, lse, *([] if segments is None else [segments]))
        ctx.rules, ctx.group = rules, group
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        q, k, v, out, lse, *rest = ctx.saved_tensors
        segments = rest[0] if rest else None
        group, rules = ctx.group, ctx.rules
        rank, size = distributed.get_rank(group), distributed.get_world_size(group)
        dq = torch.zeros(q.shape, dtype=torch.float32, device=q.device)
        dk, dv = (torch.zeros(x.shape, dtype=torch.float32, device=x.device) for x in (k, v))
        delta = (grad.float() * out.float()).sum(-1)
        travelling = [k.contiguous(), v.contiguous(), *([] if segments is None else [segments])]
        for other, (their_k, their_v, *their_segments) in _round(travelling, group):
            pair = None if segments is None else (segments, their_segments[0])
            for rows, keys, seen in _blocks(rules, rank, other, size, q.shape[2], pair, q.device):
                a, b, c = block_backward(
                    grad[:, :, rows], q[:, :, rows], their_k[:, :, keys], their_v[:, :, keys],
                    lse[:, :, rows], delta[:, :, rows], rules, seen,
                )  # fmt: skip
                dq[:, :, rows] += a
                dk[:, :, keys] += b
                dv[:, :, keys] += c
            # The gradients go on with what they are of; after a full round they are back where they belong.
            (dk, dv), works = _pass_on([dk, dv], group, tag=len(travelling))
            for work in works:
                work.wait()
        return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype), None, None, None


def attend_ring(q: Tensor, k: Tensor, v: Tensor, rules: Rules, group: Any, segments: Tensor | None = None) -> Tensor:
    """Attend from this process's part of a sequence to all of it; differentiable.

    Args:
        q: ``(B, H, S / n, D)``, tokens in the order of :mod:`nemo_llm.models.layers.context`.
        k: ``(B, Hk, S / n, D)``.
        v: ``(B, Hk, S / n, Dv)``.
        rules: Which keys a query sees, and how their score is computed.
        group: The n processes.
        segments: ``(B, S / n)``, the document of each token.

    Returns:
        ``(B, H, S / n, Dv)``.
    """
    return _Ring.apply(q, k, v, segments, rules, group)
