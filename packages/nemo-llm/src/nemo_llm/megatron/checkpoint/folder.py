"""Saving and loading model folders, in any layout."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_core.errors import ArchiveError
from nemo_core.training.checkpoint_folder import MANIFEST, is_folder_checkpoint, put_in_place, remove, seal
from nemo_llm.megatron.checkpoint.agreement import agree, all_or_none, gather
from nemo_llm.megatron.checkpoint.copies import Copies
from nemo_llm.megatron.checkpoint.manifest import FORMAT, TOKENIZER, WEIGHTS, Manifest, content_of
from nemo_llm.megatron.checkpoint.model_state import describe
from nemo_llm.megatron.checkpoint.optimizer_state import OptimizerState
from nemo_llm.megatron.checkpoint.reading import open_folder, read_into
from nemo_llm.megatron.checkpoint.writing import Shards, complete, plan
from nemo_llm.megatron.layout import Layout
from nemo_llm.megatron.wrapping import unwrap
from nemo_llm.peft.apply import adapter_words

__all__ = ["Saving", "begin_saving", "load_model_folder", "save_model_folder"]


def save_model_folder(
    path: str | Path,
    chunks: Sequence[Any],
    config: Any,
    *,
    layout: Layout | None = None,
    tokenizer: Any = None,
    optimizer: Any = None,
    step: int | None = None,
    extra: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a model as a folder: whole or not at all; all processes call.

    Args:
        path: The folder to write.
        chunks: This process's parts of the model.
        config: The architecture.
        layout: Of the processes; that of the running engine if not given.
        tokenizer: A tokenizer, or the folder of one.
        optimizer: Megatron-core's, to go on training from.
        step: Optimizer steps that were done.
        extra: More for the manifest; values of JSON.
        overwrite: Replace a model folder that is there.

    Returns:
        ``path``.

    Raises:
        ArchiveError: Something else is there already.
        TrainingError: A process could not write.
    """
    path = Path(path)
    agree(lambda: _check_target(path, overwrite))
    saving = begin_saving(
        path, chunks, config, layout=layout, tokenizer=tokenizer, optimizer=optimizer, step=step, extra=extra
    )
    saving.complete()
    return path


def load_model_folder(
    path: str | Path,
    chunks: Sequence[Any],
    optimizer: Any = None,
    strict: bool = True,
    *,
    checksums: bool = True,
) -> Manifest:
    """Read a model folder into a model that is built already, in whatever layout; all processes call.

    Args:
        path: The folder.
        chunks: This process's parts of the model.
        optimizer: Megatron-core's; its state is read too.
        strict: Refuse a folder with weights that the model has not.
        checksums: Compare checksums before anything is read, not only sizes.

    Returns:
        What the folder says about itself.

    Raises:
        ArchiveError: It is no model folder, damaged, or of another architecture or optimizer; in all processes, and
            before anything of the model has changed.
        UnsafeArchiveError: Reading it would run code.
    """
    path = Path(path)
    manifest, metadata = open_folder(path, checksums=checksums)
    chunks = unwrap(chunks)
    model = describe(chunks)
    state: dict[str, Any] = dict(model.tensors)
    restored = None
    if optimizer is not None:
        if not manifest.optimizer:
            raise ArchiveError(
                f"{path} holds a model without the state of an optimizer", hint="load it without, and begin a training"
            )
        restored = OptimizerState(optimizer, model)
        state["optimizer"] = restored.sharded()
    config = getattr(chunks[0], "architecture", None) if chunks else None
    found = read_into(state, path, manifest, metadata, config=config, strict=strict)
    error = None
    try:
        for number, chunk in enumerate(chunks):
            part = f"model{number}"
            weights = {name: each for name, each in found[part].items() if (part, name) not in model.in_place}
            chunk.load_state_dict(weights, strict=False)
        if restored is not None:
            restored.restore(found["optimizer_plain"])
    except (RuntimeError, ValueError, KeyError) as failure:
        error = ArchiveError(f"{path} does not fit this model: {failure}")
    all_or_none(error)
    return manifest


@dataclass
class Saving:
    """A save that is planned: what remains can be done at once, or in a thread while training goes on.

    Attributes:
        path: Where the folder will be.
        temporary: Where it is until it is whole.
        shards: What this process writes.
        content: Of the manifest.
        tokenizer: A tokenizer, or the folder of one.
        trainer: Writes ``trainer.ckpt`` into the folder it is given, if there is one.
    """

    path: Path
    temporary: Path
    shards: Shards
    content: dict[str, Any]
    tokenizer: Any = None
    trainer: Callable[[Path], None] | None = None

    def complete(self, group: Any = None) -> None:
        """Write, with all other processes, and give the folder its name.

        Args:
            group: For what processes tell each other; a thread needs one that nobody else uses.

        Raises:
            TrainingError: A process could not write; in all processes.
        """
        complete(self.shards, group, self._publish)

    def _publish(self, written: Mapping[str, Mapping[str, Any]]) -> None:
        _save_tokenizer(self.tokenizer, self.temporary / TOKENIZER)
        if self.trainer is not None:
            self.trainer(self.temporary)
        seal(self.temporary, self.content, {f"{WEIGHTS}/{name}": facts for name, facts in written.items()})
        put_in_place(self.temporary, self.path)


def begin_saving(
    path: Path,
    chunks: Sequence[Any],
    config: Any,
    *,
    layout: Layout | None = None,
    tokenizer: Any = None,
    optimizer: Any = None,
    step: int | None = None,
    extra: Mapping[str, Any] | None = None,
    copies: Copies | None = None,
    trainer: Callable[[Path], None] | None = None,
) -> Saving:
    """Plan a save with the other processes; what is not described here is as for :func:`save_model_folder`.

    Args:
        path: The folder to write.
        chunks: This process's parts of the model.
        config: The architecture.
        layout: Of the processes.
        tokenizer: A tokenizer, or the folder of one.
        optimizer: Megatron-core's.
        step: Optimizer steps that were done.
        extra: More for the manifest.
        copies: Copy all tensors, since training goes on before they are written; what only the optimizer changes when
            ``copies.finish()`` is called.
        trainer: Writes ``trainer.ckpt`` into the folder; the first process calls it.
    """
    if layout is None:
        from nemo_llm.models.engine_configs import running_layout

        layout = running_layout()
    temporary = path.with_name(f".{path.name}.saving")
    extra = {**(extra or {}), **adapter_words(chunks)}
    content = content_of(config, layout, step=step, optimizer=optimizer is not None, extra=extra)

    def prepare() -> None:
        remove(temporary)
        (temporary / WEIGHTS).mkdir(parents=True)

    agree(prepare)
    _gather_weights(chunks)
    model = describe(unwrap(chunks))
    state: dict[str, Any] = dict(model.tensors)
    steady: set[str] = set()  # without an optimizer nobody knows when weights change
    if optimizer is not None:
        stored = OptimizerState(optimizer, model)
        state["optimizer"] = stored.sharded()
        state["optimizer_plain"] = OptimizerState.merged(gather(stored.plain()))
        steady = model.weights | {each.key for parts in state["optimizer"].values() for each in parts}
        if copies is not None:
            copies.guard([part.optimizer for part in stored.parts])
    shards = plan(state, temporary / WEIGHTS, copies, steady)
    return Saving(path, temporary, shards, content, tokenizer, trainer)


def _gather_weights(chunks: Sequence[Any]) -> None:
    """Bring weights up to date that the distributed optimizer would gather only when the next batch needs them."""
    for chunk in chunks:
        settings = getattr(chunk, "ddp_config", None)
        if getattr(settings, "overlap_param_gather", False) and hasattr(chunk, "start_param_sync"):
            chunk.start_param_sync(force_sync=True)


def _save_tokenizer(tokenizer: Any, folder: Path) -> None:
    if tokenizer is None:
        return
    if isinstance(tokenizer, (str, Path)):
        from nemo_llm.tokenizers import load_tokenizer

        source = Path(tokenizer)
        tokenizer = load_tokenizer(source)
    tokenizer.save(folder)


def _check_target(path: Path, overwrite: bool) -> None:
    if not path.exists():
        return
    if path.is_dir():
        with contextlib.suppress(StopIteration):
            next(path.iterdir())
            ours = is_folder_checkpoint(path) and f'"{FORMAT}"' in (path / MANIFEST).read_text(encoding="utf-8")[:400]
            if ours and overwrite:
                return
            raise ArchiveError(
                f"{path} is there already" + ("" if ours else ", and is no model folder"),
                hint="overwrite it, or choose another name" if ours else "choose another name",
            )
        shutil.rmtree(path)
        return
    raise ArchiveError(f"{path} is there already, and is a file", hint="choose another name")
