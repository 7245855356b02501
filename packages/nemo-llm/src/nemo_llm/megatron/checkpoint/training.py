"""Checkpoints of a training: folders that are written while training goes on."""

from __future__ import annotations

import io
import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from nemo_core.errors import NemoError, TrainingError
from nemo_core.training.checkpoint_folder import TRAINER
from nemo_core.training.checkpoint_io import AtomicCheckpointIO, read_checkpoint
from nemo_llm.megatron.checkpoint.copies import Copies
from nemo_llm.megatron.checkpoint.folder import Saving, begin_saving, load_model_folder
from nemo_llm.megatron.layout import Layout

__all__ = ["MegatronCheckpointIO", "ModelParts"]

logger = logging.getLogger(__name__)

_LONGEST = timedelta(hours=6)  # that one process may write longer than another
_PATIENCE = 60.0  # seconds that the end of a run waits for a save that others may have given up


@dataclass(frozen=True)
class ModelParts:
    """What a checkpoint is made of.

    Attributes:
        chunks: This process's parts of the model, wrapped for data parallelism or not.
        config: The architecture.
        layout: Of the processes.
        optimizer: Megatron-core's.
        tokenizer: A tokenizer, or the folder of one.
    """

    chunks: Sequence[Any]
    config: Any
    layout: Layout
    optimizer: Any = None
    tokenizer: Any = None


class MegatronCheckpointIO(AtomicCheckpointIO):
    """Keeps checkpoints of Megatron-core's models as folders; all processes call its methods.

    In the background, a thread in each process copies what is to be written, and writes it. Training goes on at once;
    only the optimizer's next step waits until all is copied. The folder gets its name when all have written. The next
    save waits for the one before. If one fails, :attr:`failed` is true and :meth:`wait` raises, in all processes. A
    process needs as much memory of the host again as it writes.

    Args:
        parts: Returns what there is to save, or to read into.
        background: Write while training goes on.
    """

    def __init__(self, parts: Callable[[], ModelParts], *, background: bool = True) -> None:
        self.parts, self.background = parts, background
        self._copies = Copies() if background else None
        self._group: Any = None
        self._under_way: _UnderWay | None = None
        self._source: Path | None = None

    @property
    def failed(self) -> bool:
        """Whether the save that was under way has failed."""
        return self._under_way is not None and self._under_way.error is not None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write model, optimizer and ``checkpoint`` (loops and callbacks; no weights) to the folder ``path``.

        Raises:
            TrainingError: This save, or the one before, was not written.
        """
        self.wait()
        parts, content = self.parts(), io.BytesIO()
        torch.save(checkpoint, content)
        try:
            saving = begin_saving(
                Path(path),
                parts.chunks,
                parts.config,
                layout=parts.layout,
                tokenizer=parts.tokenizer,
                optimizer=parts.optimizer,
                step=int(checkpoint.get("global_step", 0)),
                copies=self._copies,
                trainer=lambda folder: _write(folder / TRAINER, content.getbuffer()),
            )
        except BaseException:
            if self._copies is not None:
                self._copies.finish()  # else the optimizer would wait for ever
            raise
        self._under_way = _UnderWay(saving, self._copies)
        if self.background:
            self._under_way.start(self._private_group())
        else:
            self._under_way.run(None)
            self.wait()

    def when_saved(self, action: Callable[[], None]) -> None:
        """Do ``action`` once the checkpoint saved last has its name; in this process, perhaps in a thread."""
        if self._under_way is None:
            action()
        else:
            self._under_way.then(action)

    def wait(self) -> None:
        """Return when no save is under way.

        Raises:
            TrainingError: The last one was not written; in all processes.
        """
        if self._under_way is None:
            return
        self._under_way.join()
        error, self._under_way = self._under_way.error, None
        if error is not None:
            raise error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Return what ``checkpoint`` was in :meth:`save_checkpoint`; :meth:`restore` reads the rest.

        Raises:
            TrainingError: It is missing, damaged, or no checkpoint of a training.
        """
        self._source = Path(path)
        return read_checkpoint(self._source)

    def restore(self, *, optimizer: bool) -> None:
        """Read the weights, and the optimizer's state, of what :meth:`load_checkpoint` was given last.

        Raises:
            ArchiveError: They are damaged, or of another model.
        """
        if self._source is None:
            raise TrainingError("there is no checkpoint to restore from", hint="load_checkpoint(path) first")
        self._wait_for_copies()
        parts = self.parts()
        # Checksums were compared when the checkpoint was chosen.
        load_model_folder(self._source, parts.chunks, parts.optimizer if optimizer else None, checksums=False)

    def load_weights(self, path: Path, model: torch.nn.Module) -> None:
        """Read the weights of a checkpoint, or of a model folder, into the model."""
        self._wait_for_copies()
        load_model_folder(path, self.parts().chunks)

    def teardown(self) -> None:
        """Wait for the save under way, but not for ever, and let go of memory and processes."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.join(_PATIENCE)
            if under_way.running:
                logger.warning("a checkpoint is still being written; what it needs of other processes does not come")
                return
            if under_way.error is not None:
                logger.warning("%s", under_way.error)
        if self._copies is not None:
            self._copies.release()
        if self._group is not None:
            distributed.destroy_process_group(self._group)
            self._group = None

    def _wait_for_copies(self) -> None:
        if self._copies is not None:
            self._copies.wait()

    def _private_group(self) -> Any:
        """Return a process group that nobody else uses: messages of two threads in one would get mixed up."""
        if self._group is None and distributed.get_world_size() > 1:
            self._group = distributed.new_group(backend="gloo", timeout=_LONGEST)
        return self._group


class _UnderWay:
    """A save that is being written."""

    def __init__(self, saving: Saving, copies: Copies | None) -> None:
        self.saving, self.copies = saving, copies
        self.error: NemoError | None = None
        self._lock = threading.Lock()
        self._actions: list[Callable[[], None]] = []
        self._done = False
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, group: Any) -> None:
        # A daemon: a process whose training has failed must not hang on others that are gone.
        self._thread = threading.Thread(target=self.run, args=(group,), name="checkpoint", daemon=True)
        self._thread.start()

    def run(self, group: Any) -> None:
        error: NemoError | None = None
        try:
            if self.copies is not None:
                self.copies.finish()
            self.saving.complete(group)
        except NemoError as failure:
            error = failure
        except Exception as failure:
            error = TrainingError(f"the checkpoint was not written: {type(failure).__name__}: {failure}")
        with self._lock:
            self._done, self.error = True, error
            actions = [] if error else self._actions
        for action in actions:
            self._act(action)

    def then(self, action: Callable[[], None]) -> None:
        with self._lock:
            if not self._done:
                self._actions.append(action)
                return
        if self.error is None:
            self._act(action)

    def join(self, timeout: float | None = None) -> None:
        if self._thread is not None:
            self._thread.join(timeout)

    def _act(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            self.error = TrainingError(f"the checkpoint is written, but what follows it failed: {error}")


def _write(path: Path, content: memoryview) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
