"""Names of the ways to train in several processes, and Lightning's strategy for each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from pytorch_lightning.utilities.model_helpers import is_overridden

from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_core.config import Trust

__all__ = ["STRATEGIES", "build_strategy"]

STRATEGIES = {
    "auto": "one process alone, or ddp",
    "ddp": "each process has the whole model and a part of each batch (torch DistributedDataParallel)",
    "ddp_find_unused": "ddp for models of which some parameters get no gradient in some steps",
    "fsdp2": "weights, gradients and optimiser state are divided among the processes (torch fully_shard)",
}


def build_strategy(setting: Any, processes: int, model: LightningModule | None, trust: Trust) -> Strategy | str:
    """Return Lightning's strategy for ``trainer.strategy``: one of :data:`STRATEGIES`, or a node with a ``_target_``.

    Raises:
        ConfigError: There is no such strategy, or the model is not made for it.
    """
    if isinstance(setting, Mapping):
        from nemo_core.config import instantiate

        strategy: Strategy = instantiate(setting, trust=trust, at="trainer.strategy")
        return strategy
    if setting not in STRATEGIES:
        raise ConfigError(f"trainer.strategy: {setting!r} is not a strategy", hint=f"one of {', '.join(STRATEGIES)}")
    if setting == "fsdp2":
        if model is None or not is_overridden("configure_model", model):
            raise ConfigError(
                f"trainer.strategy: {type(model).__name__} cannot be divided by fsdp2: it has no configure_model",
                hint="define configure_model and call torch's fully_shard there, or use trainer.strategy=ddp",
            )
        # One file with everything: the same kind of checkpoint as without sharding, written by the same code.
        return ModelParallelStrategy(processes, 1, save_distributed_checkpoint=False, timeout=timedelta(minutes=30))
    if processes == 1:
        return "auto"
    return DDPStrategy(find_unused_parameters=setting == "ddp_find_unused", timeout=timedelta(minutes=30))
