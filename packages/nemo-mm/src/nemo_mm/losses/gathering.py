"""Embeddings of all processes, with gradients that come back to who made them."""

from __future__ import annotations

import torch
from torch import Tensor, distributed

__all__ = ["gather", "rank_and_count"]


def rank_and_count(group: distributed.ProcessGroup | None = None) -> tuple[int, int]:
    """Return this process's number and how many there are; 0 and 1 where nothing is distributed."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(group), distributed.get_world_size(group)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, mine: Tensor, group: distributed.ProcessGroup | None) -> Tensor:
        ctx.group = group
        _, count = rank_and_count(group)
        found = mine.new_empty(count * len(mine), *mine.shape[1:])
        distributed.all_gather_into_tensor(found, mine.contiguous(), group=group)
        return found

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        # What every process's loss says about this one's part: their sum. (gloo has no reduce-scatter in all versions.)
        rank, count = rank_and_count(ctx.group)
        grad = grad.contiguous()
        distributed.all_reduce(grad, group=ctx.group)
        return grad.chunk(count)[rank], None


def gather(mine: Tensor, group: distributed.ProcessGroup | None = None) -> Tensor:
    """Return the tensors (B, ...) of all processes one behind the other, (processes x B, ...).

    The gradient of a part is the sum of what all processes' losses say about it, so that the mean over processes, as
    data-parallel training forms it, is the gradient of the mean loss. All parts must have one shape.

    >>> gather(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """
    _, count = rank_and_count(group)
    return mine if count == 1 else _Gather.apply(mine, group)
