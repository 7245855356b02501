"""Requests to stop: signals (preemption, Ctrl-C) and the time limit; all ranks agree on them before they act."""

from __future__ import annotations

import logging
import signal
import threading
import time
from datetime import timedelta
from types import FrameType
from typing import Any, Literal

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import distributed

from nemo_core.errors import ConfigError

__all__ = ["Interrupted", "Interruption", "Reason", "parse_time"]

logger = logging.getLogger(__name__)

Reason = Literal["preempted", "max_time", "interrupted"]
_CODES: dict[int, Reason] = {1: "max_time", 2: "interrupted", 3: "preempted"}


class Interrupted(Exception):  # noqa: N818 (not an error: the run is saved and will go on)
    """Leaves the training loop after the state has been saved."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_time(text: str | None) -> float | None:
    """Return the seconds of ``[[days:]hours:]minutes:seconds``.

    >>> parse_time("1:00:00:30")
    86430.0
    >>> parse_time("02:30")
    150.0
    """
    if text is None:
        return None
    try:
        parts = [float(part) for part in str(text).split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 4 or any(part < 0 for part in parts) or not any(parts):
        raise ConfigError(
            f"experiment.max_time: {text!r} is not a time", hint="give [days:]hours:minutes:seconds, as 03:30:00"
        )
    days, hours, minutes, seconds = [0.0] * (4 - len(parts)) + parts
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()


class Interruption(Callback):
    """Notes requests to stop. :class:`~nemo_core.training.callbacks.Checkpoints` saves and stops on them.

    A first Ctrl-C asks for a save; a second one interrupts at once. Handlers are installed while training runs, and
    only in the main thread; what was there before is put back.

    Args:
        max_seconds: Time limit of this process.
        preemption: Whether SIGTERM and SIGUSR1 mean: save and stop.
    """

    def __init__(self, *, max_seconds: float | None = None, preemption: bool = True) -> None:
        self.max_seconds = max_seconds
        self.preemption = preemption
        self._code = 0
        self._start = time.monotonic()
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handlers, in the place of Lightning's, which would stop without saving."""
        self._start = time.monotonic()
        if threading.current_thread() is not threading.main_thread():
            return
        signals = [signal.SIGINT]
        if self.preemption:
            signals += [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
        for number in signals:
            self._previous[number] = signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._code:
                raise KeyboardInterrupt
            self._code = 2
        else:
            self._code = 3

    def agreed(self, trainer: Trainer, save: bool, failed: bool = False) -> tuple[Reason | None, bool, bool]:
        """Return why to stop, if any rank was asked to, and whether any rank wants to ``save`` or has ``failed`` to.

        The answer is the same on all ranks.
        """
        code = self._code
        if not code and self.max_seconds is not None and time.monotonic() - self._start > self.max_seconds:
            code = 1
        if trainer.world_size > 1:
            wishes = torch.tensor([code, int(save), int(failed)])  # on the CPU: a GPU is not made to wait for it
            distributed.all_reduce(wishes, op=distributed.ReduceOp.MAX)
            code, save, failed = int(wishes[0]), bool(wishes[1]), bool(wishes[2])
        return _CODES.get(code), save, failed

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the handlers back."""
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Put the handlers back."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._previous = {}
