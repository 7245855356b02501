"""LAMB: Adam with a step scaled to the norm of each layer, for very large batches (arXiv:1904.00962)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from nemo_core.training.optim.per_tensor import PerTensorOptimizer

__all__ = ["Lamb"]


class Lamb(PerTensorOptimizer):
    """Adam's update with decoupled weight decay, scaled per tensor by ``|weight| / |update|``.

    Args:
        params: Parameters or groups.
        lr: Learning rate.
        betas: Decay of the moments.
        eps: Keeps the root of the second moment away from zero.
        weight_decay: Added to the update before it is scaled.
        bias_correction: Correct the moments for their start at zero, as Adam does.
        max_ratio: Upper limit of the scale; None: no limit.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        >>> optimizer = Lamb([weight], lr=0.1, weight_decay=0.0)
        >>> weight.grad = torch.tensor([1.0, 1.0])
        >>> _ = optimizer.step()
        >>> round((torch.tensor([3.0, 4.0]) - weight.data).norm().item(), 4)  # 0.1 of the weight's norm, 5
        0.5
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        bias_correction: bool = True,
        max_ratio: float | None = None,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            bias_correction=bias_correction,
            max_ratio=max_ratio,
        )

    def update(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        """Take one step with one parameter."""
        beta1, beta2 = group["betas"]
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        first, second = state["exp_avg"], state["exp_avg_sq"]
        if group["bias_correction"]:
            first = first / (1 - beta1 ** state["step"])
            second = second / (1 - beta2 ** state["step"])
        update = first / (second.sqrt() + group["eps"])
        if group["weight_decay"]:
            update = update.add(parameter, alpha=group["weight_decay"])
        weight_norm, update_norm = parameter.norm(), update.norm()
        ratio = torch.where(
            (weight_norm > 0) & (update_norm > 0), weight_norm / update_norm, torch.ones_like(weight_norm)
        )
        if group["max_ratio"] is not None:
            ratio = ratio.clamp(max=group["max_ratio"])
        parameter.sub_(update * ratio * group["lr"])
