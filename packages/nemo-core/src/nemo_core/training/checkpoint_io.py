"""Reading and writing checkpoints: whole or not at all, and without running what a file says."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

from nemo_core._files import replacing
from nemo_core.errors import TrainingError
from nemo_core.training.checkpoint_folder import (
    LAST,
    PREVIOUS,
    TRAINER,
    find_damage,
    is_folder_checkpoint,
    make_room,
    remove,
)

__all__ = ["LAST", "PREVIOUS", "AtomicCheckpointIO", "check_checkpoint", "newest_valid", "read_checkpoint"]

logger = logging.getLogger(__name__)


class AtomicCheckpointIO(CheckpointIO):
    """Writes to a temporary file, flushes it to disk and renames it, so that a kill never leaves half a checkpoint.

    ``last.ckpt`` is kept as ``last-previous.ckpt`` when a newer one takes its place.

    A strategy that keeps checkpoints in another way derives a class from this one and hands an instance to Lightning's
    ``Strategy(checkpoint_io=...)``. It may write folders (see :mod:`nemo_core.training.checkpoint_folder`) and may go
    on writing after :meth:`save_checkpoint` has returned; then it overrides :meth:`when_saved`, :meth:`wait` and
    :attr:`failed` too. All processes call all of it, but for :meth:`when_saved`: that is for the first one, which keeps
    order among the files.
    """

    @property
    def failed(self) -> bool:
        """Whether a save that was still under way has failed, so that :meth:`wait` will raise."""
        return False

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            make_room(path)

    def when_saved(self, action: Callable[[], None]) -> None:
        """Do ``action`` once the checkpoint saved last is in its place, in this process: here, now."""
        action()

    def wait(self) -> None:
        """Return when no save is under way.

        Raises:
            TrainingError: The last one failed; on all processes.
        """

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read ``path``; see :func:`read_checkpoint`."""
        return read_checkpoint(Path(path), map_location or "cpu")

    def load_weights(self, path: Path, model: torch.nn.Module) -> None:
        """Put the weights of a checkpoint into ``model``."""
        options = StateDictOptions(full_state_dict=True)  # the file has all weights, however they are divided here
        set_model_state_dict(model, read_checkpoint(path)["state_dict"], options=options)

    def remove_checkpoint(self, path: Any) -> None:
        """Remove ``path`` if it is there."""
        remove(Path(path))


def read_checkpoint(path: Path, map_location: Any = "cpu", *, mmap: bool = False) -> dict[str, Any]:
    """Return the content of a checkpoint; nothing but tensors and plain values is ever built from it.

    Args:
        path: The file; or a folder, whose ``trainer.ckpt`` is read.
        map_location: Device that tensors are put on.
        mmap: Leave the tensors in the file until they are used.

    Raises:
        TrainingError: It is missing, damaged, or holds what only running code could build.
    """
    file, key = (path / TRAINER, "global_step") if path.is_dir() else (path, "state_dict")
    if file != path and is_folder_checkpoint(path) and not file.exists():
        raise TrainingError(
            f"{path} holds a model and no state of a training", hint=f"start from its weights: init_from={path}"
        )
    try:
        checkpoint = torch.load(file, map_location=map_location, weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise TrainingError(
            f"{file} does not exist", hint="experiment.resume takes auto, never or a checkpoint"
        ) from None
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{file} cannot be read as a checkpoint: {reason}",
            hint="use another checkpoint, or experiment.resume=never",
        ) from error
    if not isinstance(checkpoint, dict) or key not in checkpoint:
        raise TrainingError(f"{file} is not a training checkpoint", hint="give a .ckpt from a run's checkpoints folder")
    return checkpoint


def check_checkpoint(path: Path) -> int:
    """Return the steps that a checkpoint is of, after comparing its checksums.

    Raises:
        TrainingError: It is damaged.
    """
    steps = int(read_checkpoint(path, mmap=True).get("global_step", 0))
    if path.is_dir():
        damage = find_damage(path)
    elif not zipfile.is_zipfile(path):  # as torch wrote them before 1.6
        damage = None
    else:  # torch does not look at the checksums of what it loads
        with zipfile.ZipFile(path) as archive:
            member = archive.testzip()
        damage = member and f"the checksum of {member} is wrong"
    if damage is not None:
        raise TrainingError(f"{path} is damaged: {damage}", hint="use another checkpoint, or experiment.resume=never")
    return steps


def newest_valid(folder: Path) -> Path | None:
    """Return the checkpoint with the most steps among the ``last*.ckpt`` in ``folder`` that are whole.

    Damaged ones are passed over with a warning.

    Returns:
        None if there is no ``last*.ckpt`` at all.

    Raises:
        TrainingError: There are some, and none can be read.
    """
    candidates = sorted(folder.glob("last*.ckpt")) if folder.is_dir() else []
    readable: list[tuple[int, Path]] = []
    for path in candidates:
        try:
            readable.append((int(read_checkpoint(path, mmap=True).get("global_step", 0)), path))
        except TrainingError as error:
            logger.warning("passed over a damaged checkpoint: %s", error.message)
    for _, path in sorted(readable, reverse=True):
        try:
            check_checkpoint(path)
        except TrainingError as error:
            logger.warning("passed over a damaged checkpoint: %s", error.message)
        else:
            return path
    if candidates:
        raise TrainingError(
            f"none of the checkpoints in {folder} can be read ({', '.join(path.name for path in candidates)})",
            hint="set experiment.resume to a good one, or experiment.resume=never to start anew",
        )
    return None
