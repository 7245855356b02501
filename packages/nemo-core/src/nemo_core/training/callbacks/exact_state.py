"""What a checkpoint lacks for an exact resume: the random number generators of every rank, and two counters."""

from __future__ import annotations

import logging
import random
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import distributed

__all__ = ["ExactState", "get_rng_state", "set_rng_state"]

logger = logging.getLogger(__name__)

_KEY = "nemo_exact_state"


def get_rng_state() -> dict[str, Any]:
    """Return the state of the generators of Python, NumPy, torch and the present GPU, as plain values and tensors."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (
            str(name),
            torch.from_numpy(np.asarray(keys, np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Put the generators into a state that :func:`get_rng_state` returned.

    >>> state = get_rng_state()
    >>> first = random.random(), np.random.rand(), torch.rand(1).item()
    >>> set_rng_state(state)
    >>> first == (random.random(), np.random.rand(), torch.rand(1).item())
    True
    """
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


class ExactState(Callback):
    """Makes a resumed run go on bit by bit as one that was never stopped.

    Must be the first callback: the generators are set right before the first step, past all that happens while a run is
    set up. With another number of processes than before there is no exact continuation; the generators are then left as
    the run's seed made them, and that is said.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the state of all ranks; called on all of them."""
        states: list[Any] = [get_rng_state()]
        if trainer.world_size > 1:
            states = [None] * trainer.world_size
            distributed.all_gather_object(states, get_rng_state())
        checkpoint[_KEY] = {"rng": states, "batches_that_stepped": trainer.fit_loop.epoch_loop._batches_that_stepped}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the state until the first step."""
        self._restored = checkpoint.get(_KEY)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Restore, once."""
        if self._restored is None:
            return
        state, self._restored = self._restored, None
        if len(state["rng"]) == trainer.world_size:
            set_rng_state(state["rng"][trainer.global_rank])
        else:
            logger.warning(
                "the checkpoint is of %d processes and this run has %d: it goes on, but not exactly as it would have",
                len(state["rng"]),
                trainer.world_size,
            )
        # Lightning counts the batch that a checkpoint was made before twice: it was ready then and is again now.
        loop = trainer.fit_loop.epoch_loop
        loop._batches_that_stepped = state["batches_that_stepped"]
        loop.batch_progress.total.ready = loop.batch_progress.total.completed + 1
