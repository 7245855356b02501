"""Adan: adaptive Nesterov momentum (arXiv:2208.06677)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer

__all__ = ["Adan"]


class Adan(Optimizer):
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
        if lr < 0 or eps < 0 or weight_decay < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError("lr, eps and weight_decay must not be negative, and betas must be in [0, 1)")
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "no_prox": no_prox}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        beta1, beta2, beta3 = group["betas"]
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
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
