"""Reading and writing checkpoints: whole or not at all, and without running what a file says."""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from nemo_core._files import replacing
from nemo_core.errors import TrainingError

__all__ = ["LAST", "PREVIOUS", "AtomicCheckpointIO", "newest_valid", "read_checkpoint"]

logger = logging.getLogger(__name__)

LAST = "last.ckpt"
PREVIOUS = "last-previous.ckpt"


class AtomicCheckpointIO(CheckpointIO):
    """Writes to a temporary file, flushes it to disk and renames it, so that a kill never leaves half a checkpoint.

    ``last.ckpt`` is kept as ``last-previous.ckpt`` when a newer one takes its place.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            if path.name == LAST and path.exists():
                os.replace(path, path.with_name(PREVIOUS))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read ``path``; see :func:`read_checkpoint`."""
        return read_checkpoint(Path(path), map_location or "cpu")

    def remove_checkpoint(self, path: Any) -> None:
        """Remove ``path`` if it is there."""
        Path(path).unlink(missing_ok=True)


def read_checkpoint(path: Path, map_location: Any = "cpu", *, mmap: bool = False) -> dict[str, Any]:
    """Return the content of a checkpoint; nothing but tensors and plain values is ever built from it.

    Args:
        path: The file.
        map_location: Device that tensors are put on.
        mmap: Leave the tensors in the file until they are used.

    Raises:
        TrainingError: It is missing, damaged, or holds what only running code could build.
    """
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise TrainingError(
            f"{path} does not exist", hint="experiment.resume takes auto, never or a checkpoint"
        ) from None
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{path} cannot be read as a checkpoint: {reason}",
            hint="use another checkpoint, or experiment.resume=never",
        ) from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise TrainingError(
            f"{path} is not a training checkpoint", hint="give a .ckpt file from a run's checkpoints folder"
        )
    return checkpoint


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
        # torch does not look at the checksums of what it loads.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is None:
            return path
        logger.warning("passed over a damaged checkpoint: %s: the checksum of %s is wrong", path, damaged)
    if candidates:
        raise TrainingError(
            f"none of the checkpoints in {folder} can be read ({', '.join(path.name for path in candidates)})",
            hint="set experiment.resume to a good one, or experiment.resume=never to start anew",
        )
    return None
