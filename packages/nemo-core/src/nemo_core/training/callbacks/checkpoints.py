"""When checkpoints are made, and which are kept."""

from __future__ import annotations

import logging
import math
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from nemo_core.config.schema import CheckpointConfig
from nemo_core.errors import TrainingError
from nemo_core.training.callbacks.interruption import Interrupted, Interruption
from nemo_core.training.checkpoint_folder import LAST, link, remove, sweep
from nemo_core.training.checkpoint_io import AtomicCheckpointIO

__all__ = ["Checkpoints"]

logger = logging.getLogger(__name__)


class Checkpoints(Callback):
    """Saves ``last.ckpt`` and the best ones, and ends the run when :class:`Interruption` asks for it.

    There is one moment for saving: right before a batch that begins a new optimiser step (and the end of training).
    All that belongs to the batches before is done by then: validation, schedulers, early stopping, averaging. So every
    checkpoint, ``best`` ones too, is a point to resume from exactly, and a validation is never lost or done twice.

    Where a strategy's saves go on in the background, a failed one ends training at the next step, and links to the best
    are made when what they point to is in its place.

    Must come before the callback that averages weights, which replaces the weights when training ends.

    Args:
        folder: Where the checkpoints are kept.
        config: When to save, and how many to keep.
        interruption: Knows of requests to stop.
        monitor: Metric by which the best are chosen; ``val_loss``, where there is one, if not given.
        mode: ``min`` or ``max``.
    """

    def __init__(
        self, folder: Path, config: CheckpointConfig, interruption: Interruption, *, monitor: str | None, mode: str
    ) -> None:
        self.folder, self.config, self.interruption = folder, config, interruption
        self.monitor, self.mode = monitor, mode
        self.best: list[tuple[float, str]] = []  # (value, file name), best first
        self._candidate: float | None = None
        self._saved_step = self._saved_epoch = 0
        self._saved_time = time.monotonic()

    @property
    def best_path(self) -> Path | None:
        """The checkpoint with the best weights."""
        return self.folder / self.best[0][1] if self.best else None

    @property
    def last_path(self) -> Path | None:
        """The newest checkpoint, if any are made."""
        return self.folder / LAST if self.config.enable else None

    def state_dict(self) -> dict[str, Any]:
        """Return which are the best."""
        return {"best": [list(entry) for entry in self.best]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over which are the best."""
        self.best = [(float(value), str(name)) for value, name in state_dict["best"]]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count from here; drop best checkpoints that a resumed run does not know or no longer has."""
        self._saved_step, self._saved_epoch = trainer.global_step, trainer.current_epoch
        self._saved_time = time.monotonic()
        source = Path(trainer.ckpt_path) if trainer.ckpt_path else None
        if source is not None and source.parent.resolve() != self.folder.resolve():
            self.best = []  # those of another run
        if not trainer.is_global_zero:
            return
        sweep(self.folder)
        for value, name in list(self.best):
            if not (self.folder / name).exists():
                if source is not None and _step_of(name) == trainer.global_step:
                    link(source, self.folder / name)  # killed between the save and the link
                else:
                    logger.warning("the best checkpoint %s is no longer there", self.folder / name)
                    self.best.remove((value, name))
        known = {name for _, name in self.best}
        for path in self.folder.glob("best-*.ckpt"):
            if path.name not in known:
                remove(path)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note whether these weights are among the best; they are saved at the next moment for it."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        monitor = self.monitor or "val_loss"
        metric = trainer.callback_metrics.get(monitor)
        if metric is None:
            if self.monitor is not None:
                names = ", ".join(sorted(trainer.callback_metrics)) or "none at all"
                raise TrainingError(
                    f"experiment.monitor: the model has not logged {self.monitor!r} in validation; it logged {names}",
                    hint="set experiment.monitor and experiment.mode to one of them",
                )
            return
        value = float(trainer.strategy.broadcast(float(metric)))
        full = len(self.best) >= self.config.keep_best
        if not math.isfinite(value) or self.config.keep_best < 1:
            return
        if not full or self._better(value, self.best[-1][0]):
            self._candidate = value

    def _better(self, value: float, other: float) -> bool:
        return value < other if self.mode == "min" else value > other

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save if it is time to, and stop if asked to."""
        if batch_idx % trainer.accumulate_grad_batches:
            return  # gradients of a half-done step are in no checkpoint
        saves = _saves(trainer)
        reason, save, failed = self.interruption.agreed(trainer, self._due(trainer, batch_idx), saves.failed)
        if failed:
            saves.wait()
        if self.config.enable and (save or reason) and trainer.global_step > self._saved_step:
            self._save(trainer)
        if reason:
            saves.wait()
            raise Interrupted(reason)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the final state."""
        if self.config.enable and (trainer.global_step > self._saved_step or self._candidate is not None):
            self._save(trainer)
        _saves(trainer).wait()

    def _due(self, trainer: Trainer, batch_idx: int) -> bool:
        config = self.config
        if self._candidate is not None:
            return True
        if (
            config.every_n_steps
            and trainer.global_step // config.every_n_steps > self._saved_step // config.every_n_steps
        ):
            return True
        if config.every_n_epochs and batch_idx == 0:
            return trainer.current_epoch - self._saved_epoch >= config.every_n_epochs
        return bool(config.every_n_minutes) and time.monotonic() - self._saved_time > 60 * (config.every_n_minutes or 0)

    def _save(self, trainer: Trainer) -> None:
        new, dropped = None, []
        if self._candidate is not None:
            epoch, step = trainer.current_epoch, trainer.global_step
            metric = re.sub(r"[^\w.-]", "_", self.monitor or "val_loss")
            new = f"best-step={step}-epoch={epoch}-{metric}={self._candidate:.4f}.ckpt"
            self.best.append((self._candidate, new))
            self.best.sort(key=lambda entry: entry[0], reverse=self.mode == "max")
            dropped, self.best = self.best[self.config.keep_best :], self.best[: self.config.keep_best]
            self._candidate = None
        last = self.folder / LAST
        trainer.save_checkpoint(last, weights_only=False)
        if trainer.is_global_zero:
            linked = [self.folder / new] if new is not None and any(name == new for _, name in self.best) else []
            _saves(trainer).when_saved(partial(_keep, last, linked, [self.folder / name for _, name in dropped]))
        self._saved_step, self._saved_epoch = trainer.global_step, trainer.current_epoch
        self._saved_time = time.monotonic()


def _step_of(name: str) -> int:
    found = re.match(r"best-step=(\d+)-", name)
    return int(found[1]) if found else -1


def _keep(last: Path, linked: list[Path], dropped: list[Path]) -> None:
    for path in linked:
        link(last, path)
    for path in dropped:
        remove(path)


def _saves(trainer: Trainer) -> AtomicCheckpointIO:
    saves = trainer.strategy.checkpoint_io
    assert isinstance(saves, AtomicCheckpointIO)
    return saves
