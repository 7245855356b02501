"""A few steps of training in any layout, without data modules and trainers: what layouts are compared by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from nemo_llm.megatron.layout import Layout

__all__ = ["train_steps"]

_PRECISION = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


def train_steps(
    make: Callable[[], Any],
    batch: Callable[[int], Mapping[str, Tensor]],
    layout: Layout,
    *,
    steps: int = 4,
    dtype: str = "float32",
    lr: float = 1e-2,
    clip: float = 0.5,
    **options: Any,
) -> list[tuple[float, float]]:
    """Train a new model; return the loss and the norm of the gradients of each step, the same in all processes.

    Args:
        make: Makes the model, an :class:`~nemo_llm.models.engine_model.EngineModel` that is not built.
        batch: Number of a step -> its whole batch; a process takes its share of the rows.
        layout: How the processes are laid out; the engine must not run.
        steps: How many.
        dtype: float32, bfloat16 or float16.
        lr: Of AdamW.
        clip: Largest norm of the gradients.
        options: Of :class:`~nemo_llm.megatron.options.Options`.

    Example:
        >>> from nemo_llm.models.language_model import LanguageModel
        >>> def make():
        ...     return LanguageModel({"vocab_size": 9, "hidden_size": 16, "num_layers": 1, "num_heads": 2})
        >>> def batch(step):
        ...     tokens = torch.arange(8).view(2, 4)
        ...     return {"tokens": tokens, "labels": tokens + 1, "loss_mask": torch.ones(2, 4)}
        >>> losses = [loss for loss, _ in train_steps(make, batch, Layout(), steps=3)]
        >>> losses[2] < losses[0]
        True
    """
    from megatron.core import parallel_state

    from nemo_llm.megatron import engine
    from nemo_llm.megatron.optimizer import build_optimizer
    from nemo_llm.megatron.options import Options
    from nemo_llm.megatron.schedule import connect_schedule, forward_backward
    from nemo_llm.megatron.wrapping import wrap

    kind, settings = getattr(torch, dtype), Options(**options)
    with engine(layout, seed=1):
        model = make()
        mode = "p2p" if settings.context_mode == "ring" else "all_gather"
        values = {**settings.transformer(_PRECISION[dtype], layout.virtual_pipeline > 1), "cp_comm_type": mode}
        model.build(layout, dtype=kind, options=values)
        chunks = wrap(list(model.chunks), settings)
        optim = {"name": "adamw", "lr": lr, "weight_decay": 0.1}
        optimizer = build_optimizer(optim, chunks, dtype=kind, sharding=settings.sharding, clip=clip, options=settings)
        connect_schedule(chunks, optimizer, settings)
        rank, size = parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()
        found = []
        for step in range(steps):
            optimizer.clear()
            share = {name: value[rank::size] for name, value in batch(step).items()}
            sums = forward_backward(
                chunks,
                model.prepare(share),
                model.token_losses,
                layout,
                micro_batch_size=settings.micro_batch_size,
                hidden_length=model.hidden_length,
                whole=model.whole_entries,
            )
            found.append((float(sums.mean), optimizer.prepare()))
            optimizer.step()
        return found
