"""A process that trains and saves after each step, to be killed."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import checkpoint_work as work
import torch
from torch import distributed

import nemo_llm.megatron.checkpoint.training
import nemo_llm.megatron.optimizer
import nemo_llm.megatron.schedule
import nemo_llm.models.language_model  # noqa: F401 - loaded once, before processes are forked
from nemo_core.training.checkpoint_folder import sweep
from nemo_core.training.checkpoint_io import newest_valid
from nemo_llm.megatron import Layout
from nemo_llm.megatron.checkpoint import MegatronCheckpointIO, ModelParts
from nemo_llm.megatron.cpu import import_engine

import_engine()

CONFIG = dataclasses.replace(work.CONFIG, num_layers=2)


def train(folder: str, steps: int, layout: Layout, rank: int = 0, world: int = 1, store: str = "") -> None:
    """Go on from the newest checkpoint to ``steps``; note in ``saved`` which step's checkpoint has got its name."""
    torch.set_num_threads(1)
    if world > 1:
        distributed.init_process_group("gloo", store=distributed.FileStore(store, world), rank=rank, world_size=world)
    path = Path(folder)
    newest = [newest_valid(path) if rank == 0 else None]
    if rank == 0:
        sweep(path)
    with work.training(layout, CONFIG) as it:
        if world > 1:
            distributed.broadcast_object_list(newest)
        io = MegatronCheckpointIO(lambda: ModelParts(it.chunks, CONFIG, layout, it.optimizer.inner))
        done = 0
        if newest[0] is not None:
            done = int(io.load_checkpoint(newest[0])["global_step"])
            io.restore(optimizer=True)
        for step in range(done, steps):
            it.step(step)
            io.save_checkpoint({"global_step": step + 1}, path / "last.ckpt")
            if rank == 0:
                io.when_saved(lambda step=step: note(path, step + 1))
        io.wait()
        io.teardown()
    os._exit(0)


def note(path: Path, step: int) -> None:
    with (path / "saved").open("a") as file:
        print(step, file=file, flush=True)
