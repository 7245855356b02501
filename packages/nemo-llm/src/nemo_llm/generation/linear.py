"""Products with weights, fast for the few rows of a step on any processor; the engine's matrices."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional

__all__ = ["Matrix", "linear"]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.T + bias``: products are added up in float32 and the sum is rounded to the type of ``x``.

    Processors without arithmetic for bfloat16 are several times faster at widening the weights on the way (which loses
    nothing) than torch's own product is on them.

    Example:
        >>> x, weight = torch.ones(1, 4, dtype=torch.bfloat16), torch.full((2, 4), 0.5, dtype=torch.bfloat16)
        >>> linear(x, weight)
        tensor([[2., 2.]], dtype=torch.bfloat16)
    """
    if x.dtype == torch.bfloat16 and not x.is_cuda and not _has_bfloat16():
        wide = functional.linear(x.float(), weight.float(), None if bias is None else bias.float())
        return wide.to(torch.bfloat16)
    return functional.linear(x, weight, bias)


@functools.cache
def _has_bfloat16() -> bool:
    """Whether the processor has arithmetic for bfloat16."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class Matrix:
    """A matrix of the engine as this process has it, adapters merged.

    Args:
        module: ``ColumnParallelLinear`` or ``RowParallelLinear``.
        adds_up: Whether its output is a part of a sum over the processes of tensor parallelism.
    """

    def __init__(self, module: Any, *, adds_up: bool = False) -> None:
        merged = getattr(module, "adapted_weight", None)
        self.weight: Tensor = module.weight.detach() if merged is None else merged()
        self.bias: Tensor | None = None if module.bias is None else module.bias.detach()
        self.group = module.tp_group if adds_up and module.tp_group.size() > 1 else None

    def __call__(self, x: Tensor) -> Tensor:
        """Return the output with its bias."""
        if self.group is None:
            return linear(x, self.weight, self.bias)
        output = linear(x, self.weight)
        distributed.all_reduce(output, group=self.group)
        return output if self.bias is None else output + self.bias
