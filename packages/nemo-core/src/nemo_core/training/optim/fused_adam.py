"""Adam in one kernel, under the names that recipes written for Apex and Megatron use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import torch

from nemo_core.errors import ConfigError

__all__ = ["FusedAdam", "needs_megatron"]


class FusedAdam(torch.optim.AdamW):
    """torch's fused AdamW, which does what Apex's FusedAdam does (weight decay is decoupled, as is Apex's default).

    >>> FusedAdam([torch.nn.Parameter(torch.zeros(2))], lr=0.1).defaults["fused"]
    True
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, (betas[0], betas[1]), eps, weight_decay, amsgrad, fused=True)


def needs_megatron(params: Iterable[Any], lr: float = 1e-3, **arguments: Any) -> NoReturn:
    """Say where the optimisers are that shard their state among processes.

    Raises:
        ConfigError: Always.
    """
    raise ConfigError(
        "optim.name: distributed_fused_adam and mcore_distributed_optim shard their state by Megatron-core",
        hint="install nemo-llm and train one of its recipes, or use optim.name=fused_adam with trainer.strategy=fsdp2",
    )
