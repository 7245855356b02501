"""Context parallelism: a sequence divided among processes, each with an early and a late chunk of it.

With causal attention the late tokens have the most keys to attend to, so process r of n has chunks r and 2n - 1 - r of
2n equal ones (the order of the engine's ``get_batch_on_this_cp_rank``), and all have the same work.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

__all__ = ["gather_sequence", "positions_of", "spans_of", "take_part"]


def spans_of(rank: int, size: int, count: int) -> tuple[tuple[int, int], ...]:
    """Return first position and length of each run of consecutive tokens that a process has.

    Args:
        rank: Of the process.
        size: Number of processes.
        count: Tokens that it has.

    >>> spans_of(0, 2, 4), spans_of(1, 2, 4)
    (((0, 2), (6, 2)), ((2, 2), (4, 2)))
    """
    if size == 1:
        return ((0, count),)
    half = count // 2
    return (rank * half, half), ((2 * size - 1 - rank) * half, half)


def positions_of(rank: int, size: int, count: int, device: Any = None) -> Tensor:
    """Return the positions in the whole sequence of the tokens of a process, ``(count,)``."""
    spans = spans_of(rank, size, count)
    return torch.cat([torch.arange(start, start + length, device=device) for start, length in spans])


def take_part(whole: Tensor, rank: int, size: int, dim: int = 1) -> Tensor:
    """Return the part of a whole sequence that a process has.

    >>> take_part(torch.arange(8)[None], 0, 2).tolist()
    [[0, 1, 6, 7]]
    """
    count = whole.shape[dim] // size
    return torch.cat([whole.narrow(dim, start, length) for start, length in spans_of(rank, size, count)], dim)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, group: Any) -> Tensor:
        ctx.group = group
        size = distributed.get_world_size(group)
        gathered = part.new_empty((size * part.shape[0], *part.shape[1:]))
        distributed.all_gather_into_tensor(gathered, part.contiguous(), group=group)
        return gathered.index_select(0, _natural(size, part.shape[0]).to(part.device))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        size = distributed.get_world_size(ctx.group)
        count = grad.shape[0] // size
        order = torch.cat([positions_of(rank, size, count, grad.device) for rank in range(size)])
        part = grad.new_empty((count, *grad.shape[1:]))
        distributed.reduce_scatter_tensor(part, grad.index_select(0, order), group=ctx.group)
        return part, None


def _natural(size: int, count: int) -> Tensor:
    """Return where each position of the sequence is among the parts behind one another."""
    order = torch.cat([positions_of(rank, size, count) for rank in range(size)])
    return torch.argsort(order)


def gather_sequence(part: Tensor, group: Any) -> Tensor:
    """Return the whole sequence in its natural order; gradients go back summed to whom they belong.

    Args:
        part: ``(S / n, ...)``, this process's tokens.
        group: The n processes.
    """
    return _Gather.apply(part, group)
