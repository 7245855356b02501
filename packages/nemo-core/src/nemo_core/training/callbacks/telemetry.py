"""Learning rate and speed, logged beside what the model logs."""

from __future__ import annotations

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

__all__ = ["Telemetry"]


class Telemetry(Callback):
    """Logs ``lr`` and ``step_seconds`` (mean time of a step since the last time it was logged, validation left out).

    Args:
        timing: Whether to log the time of steps.
        every: Steps between logs.
    """

    def __init__(self, timing: bool = True, every: int = 10) -> None:
        self.timing, self.every = timing, max(1, every)
        self.seconds = 0.0  # in the training loop of this process
        self.steps = 0
        self._since = (0.0, 0)
        self._mark = time.perf_counter()
        self._lr = 0.0
        self._first = self._seen = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._mark = time.perf_counter()
        self._first = self._seen = trainer.global_step

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self.seconds += time.perf_counter() - self._mark

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock again."""
        self._mark = time.perf_counter()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Note the rate that this step uses: the scheduler has moved on by the time it is logged."""
        self._lr = float(optimizer.param_groups[0]["lr"])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log, every ``every`` steps."""
        now = time.perf_counter()
        self.seconds, self._mark = self.seconds + now - self._mark, now
        step = trainer.global_step
        if step == self._seen:
            return  # gradients were accumulated, and no step made
        self._seen, self.steps = step, step - self._first
        if (step - 1) % self.every:
            return
        metrics = {"lr": self._lr}
        seconds, steps = self.seconds - self._since[0], self.steps - self._since[1]
        if self.timing and steps:
            metrics["step_seconds"] = seconds / steps
            self._since = (self.seconds, self.steps)
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=step - 1)
