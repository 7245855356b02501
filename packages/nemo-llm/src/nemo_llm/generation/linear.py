"""Products with weights, fast for the few rows of a step on any processor; the engine's matrices."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional

from nemo_llm.models.layers.linear import widen

__all__ = ["Matrix", "Weight", "can_pack", "linear"]

#: Rows for which weights are laid out.
_FEW = 32
#: Bytes up to which a float32 matrix is turned round, for a call that costs little; larger ones are packed by oneDNN.
_SMALL = 1 << 22


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.T + bias``: products are added up in float32 and the sum is rounded to the type of ``x``.

    Example:
        >>> x, weight = torch.ones(1, 4, dtype=torch.bfloat16), torch.full((2, 4), 0.5, dtype=torch.bfloat16)
        >>> linear(x, weight)
        tensor([[2., 2.]], dtype=torch.bfloat16)
    """
    wide = x if _is_few(x) and _has_arithmetic(x.dtype) else widen(x)
    if wide is x:
        return functional.linear(x, weight, bias)
    return functional.linear(wide, widen(weight), None if bias is None else widen(bias)).to(x.dtype)


class Weight:
    """A weight that few rows at a time are multiplied with.

    Args:
        weight: (out, in).
        bias: (out).
        pack: Lay weights out a second time, as kernels for few rows like them, for as much memory again. Without effect
            on a GPU and on types that the processor has no arithmetic for.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, pack: bool = False) -> None:
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach()
        self.turned: Tensor | None = None
        self.packed: Tensor | None = None
        # What is laid out anew is for more rows than this: in float32 one or two are fastest as weights are.
        self.least = 2 if self.weight.dtype == torch.float32 else 0
        if not pack or not can_pack(self.weight):
            return
        if self.weight.dtype == torch.float32 and 4 * self.weight.numel() <= _SMALL:
            self.turned = self.weight.t().contiguous()
        else:
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, _FEW)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product with (..., in), and the bias added."""
        if (self.turned is None and self.packed is None) or not self.least < x.numel() // x.shape[-1] <= _FEW:
            return linear(x, self.weight, self.bias)
        if self.turned is None:
            return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        found = torch.matmul(x, self.turned)
        return found if self.bias is None else found.add_(self.bias)


def can_pack(weight: Tensor) -> bool:
    """Return whether there is a layout for few rows of this type on this machine."""
    return (
        not weight.is_cuda
        and (weight.dtype == torch.float32 or _has_arithmetic(weight.dtype))
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def _is_few(x: Tensor) -> bool:
    return x.numel() <= _FEW * x.shape[-1]


@functools.cache
def _has_arithmetic(dtype: torch.dtype) -> bool:
    """Whether the processor computes in this half precision: few rows then gain from weights of half the bytes."""
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float16 and bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())


class Matrix:
    """A matrix of the engine as this process has it, adapters merged.

    Args:
        module: ``ColumnParallelLinear`` or ``RowParallelLinear``.
        adds_up: Whether its output is a part of a sum over the processes of tensor parallelism.
        pack: See :class:`Weight`.
    """

    def __init__(self, module: Any, *, adds_up: bool = False, pack: bool = False) -> None:
        merged = getattr(module, "adapted_weight", None)
        self.group = module.tp_group if adds_up and module.tp_group.size() > 1 else None
        self.late_bias = None if module.bias is None or self.group is None else module.bias.detach()
        bias = module.bias if self.group is None else None
        self.product = Weight(module.weight if merged is None else merged(), bias, pack=pack)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the output with its bias."""
        output = self.product(x)
        if self.group is None:
            return output
        distributed.all_reduce(output, group=self.group)
        return output if self.late_bias is None else output + self.late_bias
