"""Parts of trainings that go wrong on purpose."""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from pytorch_lightning import Callback

from nemo_llm.data.mock import MockData


class FailsOnOneRank(Callback):
    """Raises at the second step on one rank; the others are in the middle of a collective then."""

    def __init__(self, rank: int = 1) -> None:
        self.rank = rank

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1 and int(os.environ.get("RANK", "0")) == self.rank:
            raise ValueError("the memory of this rank has gone")


class Poison(Callback):
    """Makes the gradients of one step not finite."""

    def __init__(self, step: int = 1) -> None:
        self.step = step

    def on_before_zero_grad(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Called between the engine's backward pass and the optimiser's step."""
        if trainer.global_step == self.step:
            parameter = next(iter(pl_module.chunks.parameters()))
            parameter.main_grad.view(-1)[0] = math.nan


class OddData(MockData):
    """Some rows count for nothing."""

    def collate(self, items: list[Any]) -> dict[str, torch.Tensor]:
        batch = super().collate(items)
        batch["loss_mask"][::2, 3:] = 0.0
        return batch
