"""The engine's matrices on a processor without a GPU: products in float32, gradients added where they are kept.

Two things cost time there that need not. Few processors have arithmetic for half precision: where it is emulated,
torch's products are ten to a hundred times slower than float32's, and with AVX-512's instructions they still take twice
as long. Here their factors are widened, which loses nothing, and the sum is rounded once; only AMX's tiles are faster.
And a weight's gradient is computed, kept, and then added to the engine's buffer (``main_grad``) by a hook; here the
product adds to the buffer itself, as the engine's own ``gradient_accumulation_fusion`` does on a GPU.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from megatron.core.tensor_parallel.layers import ColumnParallelLinear, RowParallelLinear
from megatron.core.tensor_parallel.mappings import (
    copy_to_tensor_model_parallel_region,
    gather_from_sequence_parallel_region,
)
from torch import Tensor

__all__ = ["ColumnParallel", "RowParallel", "WeightGradient", "full", "linear", "make_ours", "product", "widen"]


def widen(x: Tensor) -> Tensor:
    """Return ``x`` in the type that products of it are fastest in, with nothing lost.

    >>> widen(torch.ones(2, dtype=torch.float64)).dtype
    torch.float64
    """
    if x.is_cuda or x.dtype not in (torch.bfloat16, torch.float16) or _has_tiles(x.dtype):
        return x
    return x.float()


def full(x: Tensor) -> Tensor:
    """Return ``x``, half precision in float32."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


@functools.cache
def _has_tiles(dtype: torch.dtype) -> bool:
    cpu: Any = torch.cpu
    asked = "_is_amx_tile_supported" if dtype == torch.bfloat16 else "_is_amx_fp16_supported"
    return bool(getattr(cpu, asked, bool)())


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a @ b`` of two matrices of one type, in that type; half precision is added up in float32.

    >>> ones = torch.ones(2, 2, dtype=torch.bfloat16)
    >>> product(ones, ones).tolist()
    [[2.0, 2.0], [2.0, 2.0]]
    """
    return torch.mm(widen(a), widen(b)).to(a.dtype)


class WeightGradient:
    """The gradient of a weight ``(out, in)``, gathered in the engine's buffer where the weight has one.

    Args:
        weight: The parameter. If data parallelism has given it ``main_grad``, products are added to that, and what
            :meth:`result` returns only lets autograd call the hooks that wait for it.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        # Megatron-FSDP makes its buffers when hooks run: it takes gradients from autograd.
        fused = hasattr(weight, "grad_added_to_main_grad") and not hasattr(weight, "__fsdp_param__")
        self.buffer: Tensor | None = getattr(weight, "main_grad", None) if fused else None
        self.own: Tensor | None = None

    def add(self, grad: Tensor, x: Tensor) -> None:
        """Add ``grad.T @ x``.

        Args:
            grad: ``(N, out)``, gradient of the output.
            x: ``(N, in)``, the input.
        """
        if self.buffer is not None and self.buffer.dtype == grad.dtype == x.dtype:
            self.buffer.addmm_(grad.t(), x)
        elif self.buffer is not None:
            self.buffer.add_(torch.mm(grad.t(), x))
        elif self.own is None:
            self.own = torch.mm(grad.t(), x)
        else:
            self.own.addmm_(grad.t(), x)

    def result(self) -> Tensor | None:
        """Return what the backward pass hands to autograd."""
        if self.buffer is None:
            return None if self.own is None else self.own.to(self.weight.dtype)
        weight: Any = self.weight
        weight.grad_added_to_main_grad = True
        # A weight that is used elsewhere too gets the rest of its gradient by way of autograd, which adds to this.
        make = torch.zeros_like if getattr(weight, "zero_out_wgrad", False) else torch.empty_like
        return make(weight)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        ctx.bias = bias is not None
        out = product(x, weight.t())
        if bias is not None:
            out += bias
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dx = dweight = dbias = None
        rows = widen(grad)
        if ctx.needs_input_grad[0]:
            dx = torch.mm(rows, widen(weight)).to(grad.dtype)
        if ctx.needs_input_grad[1]:
            gradient = WeightGradient(weight)
            gradient.add(rows, widen(x))
            dweight = gradient.result()
        if ctx.bias and ctx.needs_input_grad[2]:
            dbias = rows.sum(0).to(grad.dtype)
        return dx, dweight, dbias


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight.T + bias``; differentiable.

    Args:
        x: ``(..., in)``.
        weight: ``(out, in)``.
        bias: ``(out,)``.

    >>> x = torch.ones(1, 4, dtype=torch.bfloat16, requires_grad=True)
    >>> linear(x, torch.full((2, 4), 0.5, dtype=torch.bfloat16)).tolist()
    [[2.0, 2.0]]
    """
    # Views are taken out here: the engine's losses change logits in place, which autograd forbids on views made within.
    out: Tensor = _Linear.apply(x.reshape(-1, x.shape[-1]), weight, bias)
    return out.view(*x.shape[:-1], weight.shape[0])


class _OnProcessor:
    """Mixed into the engine's matrices, whose ``forward`` does the rest of the work."""

    def _forward_impl(self, input: Tensor, weight: Tensor, bias: Tensor | None = None, **how: Any) -> Tensor:
        if input.is_cuda or how.get("grad_output_buffer") is not None:
            return super()._forward_impl(input=input, weight=weight, bias=bias, **how)  # type: ignore[misc]
        if how["sequence_parallel"]:
            input = gather_from_sequence_parallel_region(input, tensor_parallel_output_grad=True, group=how["tp_group"])
        elif how["allreduce_dgrad"]:
            input = copy_to_tensor_model_parallel_region(input, group=how["tp_group"])
        return linear(input, weight, bias)


class ColumnParallel(_OnProcessor, ColumnParallelLinear):
    """The engine's matrix divided by its outputs."""


class RowParallel(_OnProcessor, RowParallelLinear):
    """The engine's matrix divided by its inputs."""


def make_ours(matrix: Any) -> None:
    """Turn a matrix that only the engine may build into ours, which differs in speed alone."""
    if type(matrix) is ColumnParallelLinear:
        matrix.__class__ = ColumnParallel
