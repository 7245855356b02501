"""The feed-forward part of a layer, one or a mixture of experts, from the weights of the engine's modules."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed

from nemo_llm.generation.linear import Matrix, linear

__all__ = ["FeedForward", "MixtureOfExperts", "feed_forward"]


def feed_forward(module: Any, *, pack: bool = False) -> FeedForward | MixtureOfExperts:
    """Return what computes the engine's ``MLP`` or ``MoELayer``."""
    return MixtureOfExperts(module, pack=pack) if hasattr(module, "router") else FeedForward(module, pack=pack)


class FeedForward:
    """Two matrices with an activation between them, which may have a gate.

    Args:
        module: The engine's ``MLP``.
        adds_up: Whether the output is summed over the processes that each have a part of the inner dimensions.
        pack: See :class:`~nemo_llm.generation.linear.Weight`.
    """

    def __init__(self, module: Any, *, adds_up: bool = True, pack: bool = False) -> None:
        self.enter = Matrix(module.linear_fc1, pack=pack)
        self.leave = Matrix(module.linear_fc2, adds_up=adds_up, pack=pack)
        self.activation, self.gated = module.activation_func, module.config.gated_linear_unit

    def __call__(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the output for (..., hidden).

        Args:
            x: Input.
            weights: (..., 1), what an expert's output counts; multiplied in where the engine does.
        """
        inner = self.enter(x)
        if self.gated:
            gate, up = inner.chunk(2, -1)
            inner = self.activation(gate).mul_(up)
        else:
            inner = self.activation(inner)
        if weights is not None:
            inner = (inner * weights).to(inner.dtype)
        return self.leave(inner)


class MixtureOfExperts:
    """Experts of which each token visits a few; every process computes its own experts for all tokens.

    Args:
        module: The engine's ``MoELayer``.
        pack: See :class:`~nemo_llm.generation.linear.Weight`.
    """

    def __init__(self, module: Any, *, pack: bool = False) -> None:
        self.router = module.router
        self.experts = [FeedForward(expert, adds_up=False, pack=pack) for expert in module.experts.local_experts]
        self.first = module.experts.ep_group.rank() * len(self.experts)
        groups = (module.experts.ep_group, module.experts.tp_group)
        self.groups = [group for group in groups if group.size() > 1]
        shared = getattr(module, "shared_experts", None)
        self.shared = None if shared is None else FeedForward(shared, pack=pack)
        self.shared_gate: Tensor | None = None if shared is None else getattr(shared, "gate_weight", None)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the output for (B, n, hidden)."""
        shape = x.shape
        probabilities, chosen = self.router(x)
        tokens = x.reshape(-1, shape[-1])
        output = torch.zeros_like(tokens)
        for number, expert in enumerate(self.experts, self.first):
            rows = chosen[:, number].nonzero().squeeze(-1)
            if rows.numel():
                output.index_add_(0, rows, expert(tokens[rows], probabilities[rows, number, None]))
        for group in self.groups:
            distributed.all_reduce(output, group=group)
        output = output.reshape(shape)
        if self.shared is None:
            return output
        shared = self.shared(x)
        if self.shared_gate is not None:
            shared = shared * torch.sigmoid(linear(x, self.shared_gate))
        return output + shared
