"""What the optimisers here have in common: checked settings, a closure, and one parameter tensor after another."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer

__all__ = ["PerTensorOptimizer", "evaluate"]


class PerTensorOptimizer(Optimizer):
    """Base of optimisers that update each parameter tensor from its own gradient and state.

    Args:
        params: Parameters or groups.
        lr: Learning rate.
        betas: Decay of the moments.
        eps: Keeps a denominator away from zero.
        weight_decay: Strength of the weight decay.
        options: Further settings of a group, which the subclass reads.

    Raises:
        ValueError: A setting is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        betas: tuple[float, ...],
        eps: float,
        weight_decay: float,
        **options: Any,
    ) -> None:
        if lr < 0 or eps < 0 or weight_decay < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError("lr, eps and weight_decay must not be negative, and betas must be in [0, 1)")
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, **options})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step."""
        loss = evaluate(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, parameter.grad, group)
        return loss

    @abstractmethod
    def update(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        """Change ``parameter`` in place; its state is ``self.state[parameter]``, empty at first."""


def evaluate(closure: Callable[[], float] | None) -> float | None:
    """Return the loss of a closure that a step was given, with gradients, or None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
