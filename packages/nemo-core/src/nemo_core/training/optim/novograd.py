"""NovoGrad: Adam with one second moment per layer (arXiv:1905.11286)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from nemo_core.training.optim.per_tensor import PerTensorOptimizer

__all__ = ["NovoGrad"]


class NovoGrad(PerTensorOptimizer):
    """Normalises the gradient of each parameter tensor by its norm, then takes a momentum step.

    Args:
        params: Parameters or groups.
        lr: Learning rate.
        betas: Decay of the first moment and of the second, which is a scalar per tensor.
        eps: Keeps the norm away from zero.
        weight_decay: Added to the normalised gradient (decoupled from the norm).
        grad_averaging: Scale the gradient by ``1 - beta1`` in the first moment.
        amsgrad: Divide by the largest second moment so far.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        >>> optimizer = NovoGrad([weight], lr=1.0)
        >>> weight.grad = torch.tensor([3.0, 4.0])
        >>> _ = optimizer.step()
        >>> weight.data  # the gradient over its norm, 5, was taken off
        tensor([2.4000, 3.2000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        grad_averaging: bool = False,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            grad_averaging=grad_averaging,
            amsgrad=amsgrad,
        )

    def update(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        """Take one step with one parameter."""
        beta1, beta2 = group["betas"]
        state = self.state[parameter]
        norm = gradient.pow(2).sum()
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = norm.clone()
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = norm.clone()
        else:
            state["exp_avg_sq"].mul_(beta2).add_(norm, alpha=1 - beta2)
        second = state["exp_avg_sq"]
        if group["amsgrad"]:
            second = torch.maximum(state["max_exp_avg_sq"], second, out=state["max_exp_avg_sq"])
        update = gradient / (second.sqrt() + group["eps"])
        if group["weight_decay"]:
            update = update.add(parameter, alpha=group["weight_decay"])
        if group["grad_averaging"]:
            update = update * (1 - beta1)
        state["exp_avg"].mul_(beta1).add_(update)
        parameter.add_(state["exp_avg"], alpha=-group["lr"])
