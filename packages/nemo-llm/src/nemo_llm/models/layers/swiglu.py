"""The gated activation SwiGLU (Shazeer, 2020, arXiv:2002.05202), forwards and backwards in few passes over memory."""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.transformer.mlp import MLP
from torch import Tensor
from torch.nn import functional as F

from nemo_llm.models.layers.linear import full

__all__ = ["FeedForward", "swiglu"]


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        gate, up = full(both).chunk(2, -1)
        return F.silu(gate).mul_(up).to(both.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        wide, grad = full(both), full(grad)
        gate, up = wide.chunk(2, -1)
        found = torch.empty_like(wide)
        dgate, dup = found.chunk(2, -1)
        torch.mul(grad, up, out=dgate)
        torch.ops.aten.silu_backward.grad_input(dgate, gate, grad_input=dgate)
        torch.ops.aten.silu.out(gate, out=dup)
        dup.mul_(grad)
        return found.to(both.dtype)


def swiglu(both: Tensor) -> Tensor:
    """Return ``silu(gate) * up``.

    Args:
        both: ``(..., 2 F)``: ``gate``, then ``up``.

    Returns:
        ``(..., F)``.

    >>> swiglu(torch.tensor([0.0, 3.0])).tolist()
    [0.0]
    """
    return _SwiGLU.apply(both)


class FeedForward(MLP):
    """The engine's feed-forward part; where that is SwiGLU without biases, with the function above."""

    def forward(self, hidden_states: Tensor, per_token_scale: Tensor | None = None, **options: Any) -> Any:
        """Return the output ``(S, B, H)`` and its bias."""
        config = self.config
        plain = (
            config.gated_linear_unit
            and self.activation_func is F.silu
            and config.activation_func_clamp_value is None
            and not config.glu_linear_offset
            and not config.bias_activation_fusion
            and not config.use_te_activation_func
        )
        if not plain or per_token_scale is not None:
            return super().forward(hidden_states, per_token_scale, **options)
        both, bias = self.linear_fc1(hidden_states)
        return self.linear_fc2(swiglu(both if bias is None else both + bias))
