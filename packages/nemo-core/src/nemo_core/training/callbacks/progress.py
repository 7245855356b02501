"""Progress as plain lines, where there is no terminal to draw a bar in."""

from __future__ import annotations

import sys
import time
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ProgressBar, RichProgressBar

__all__ = ["PlainProgress", "progress_bar"]


def progress_bar() -> ProgressBar:
    """Return a bar for a terminal, or :class:`PlainProgress` where standard error is none."""
    return _Bar() if sys.stderr.isatty() else PlainProgress()


class _Bar(RichProgressBar):
    """Lightning's bar; it counts epochs as people and :class:`PlainProgress` do, from 1."""

    def _get_train_description(self, current_epoch: int) -> str:
        last = self.trainer.max_epochs
        text = f"Epoch {current_epoch + 1}" + (f"/{last}" if last not in (None, -1) else "")
        return text.ljust(len(self.validation_description))  # both stand in one column


class PlainProgress(ProgressBar):
    """Writes a line to standard error after each validation or epoch, and at least every ``seconds``."""

    def __init__(self, seconds: float = 10.0) -> None:
        super().__init__()
        self.seconds = seconds
        self._start = self._mark = time.monotonic()
        self._first_batch = 0
        self._enabled = True

    def disable(self) -> None:
        """Write nothing (on ranks other than the first)."""
        self._enabled = False

    def enable(self) -> None:
        """Write again."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = self._mark = time.monotonic()
        self._first_batch = trainer.fit_loop.total_batch_idx + 1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a line if the last one is a while ago."""
        if time.monotonic() - self._mark >= self.seconds:
            self._line(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write a line."""
        self._line(trainer, pl_module)

    def _line(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._mark = time.monotonic()
        if not self._enabled:
            return
        total = trainer.num_training_batches
        done = trainer.fit_loop.total_batch_idx + 1
        rate = (done - self._first_batch) / max(self._mark - self._start, 1e-9)
        parts = [f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs if trainer.max_epochs != -1 else '?'}"]
        parts.append(f"batch {trainer.fit_loop.batch_idx + 1}/{total}")
        parts.append(f"step {trainer.global_step}")
        for name, value in self.get_metrics(trainer, pl_module).items():
            if name != "v_num" and isinstance(value, (int, float)):
                parts.append(f"{name} {value:.4g}")
        parts.append(f"{rate:.1f} batches/s")
        if trainer.max_epochs not in (None, -1) and rate > 0:
            left = (trainer.max_epochs * total - done) / rate
            parts.append(f"{int(left // 60)}:{int(left % 60):02d} left")
        print("  ".join(parts), file=sys.stderr, flush=True)
