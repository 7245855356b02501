"""A run that its scheduler stops, for tests that it goes on as if it had never been."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

__all__ = ["Preempted"]


class Preempted(Callback):
    """Asks its own process to stop, as a scheduler does, before a step of a training; once.

    The run saves and ends with status ``preempted``; the same configuration once more goes on with it. In a recipe's
    ``trainer.callbacks``, with ``trust=[nemo_core.testing]``::

        {_target_: nemo_core.testing.Preempted, step: 4, note: PATH}

    Args:
        step: Steps that are done when the run has stopped.
        note: A file that is made when it is asked to; while there is one, the run is left alone.
    """

    def __init__(self, step: int, note: str | Path) -> None:
        self.step, self.note = step, Path(note)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Send SIGTERM before the last of the steps, which is then still done."""
        if trainer.global_step == self.step - 1 and not self.note.exists():
            self.note.touch()
            os.kill(os.getpid(), signal.SIGTERM)
