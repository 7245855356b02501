"""Adan: adaptive Nesterov momentum (arXiv:2208.06677)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from nemo_core.training.optim.per_tensor import PerTensorOptimizer

__all__ = ["Adan"]


class Adan(PerTensorOptimizer):
    """Moments of the gradient, of its change, and of the square of their Nesterov combination.

    Args:
        params: Parameters or groups.
        lr: Learning rate.
        betas: How much of the old moments is kept: of the gradient, of its change, of the square. (The paper's betas
            are one minus these.)
        eps: Keeps the root away from zero.
        weight_decay: Decoupled; by default the paper's proximal form, ``weight / (1 + lr * weight_decay)``.
        no_prox: Shrink the weight before the step, as AdamW does, instead.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = Adan([weight], lr=0.1)
        >>> weight.grad = torch.tensor([2.0])
        >>> _ = optimizer.step()
        >>> weight.data
        tensor([0.9000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float, float] = (0.98, 0.92, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        no_prox: bool = False,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, no_prox=no_prox)

    def update(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        """Take one step with one parameter."""
        beta1, beta2, beta3 = group["betas"]
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            for name in ("exp_avg", "exp_avg_diff", "exp_avg_sq"):
                state[name] = torch.zeros_like(parameter)
            state["previous"] = gradient.clone()
        state["step"] += 1
        change = gradient - state["previous"]
        nesterov = gradient + beta2 * change
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["exp_avg_diff"].lerp_(change, 1 - beta2)
        state["exp_avg_sq"].mul_(beta3).addcmul_(nesterov, nesterov, value=1 - beta3)
        state["previous"].copy_(gradient)
        corrections = [1 - beta ** state["step"] for beta in group["betas"]]
        root = (state["exp_avg_sq"] / corrections[2]).sqrt_().add_(group["eps"])
        update = state["exp_avg"] / corrections[0] + beta2 * state["exp_avg_diff"] / corrections[1]
        decay = group["lr"] * group["weight_decay"]
        if group["no_prox"]:
            parameter.mul_(1 - decay)
        parameter.addcdiv_(update, root, value=-group["lr"])
        if not group["no_prox"]:
            parameter.div_(1 + decay)
