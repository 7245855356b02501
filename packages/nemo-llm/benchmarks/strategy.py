"""A training step under our strategy, inside Lightning, against a bare loop over Megatron-core with the same model.

Both sides build the same model and take batches of the same shape: ours with Lightning's trainer (checks for finite
gradients, schedule of the rate, telemetry; no validation, no checkpoints), the other with the engine's DDP,
optimizer and schedule called by hand. They take turns in one process; a step is what lies between two steps.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

import torch
from pytorch_lightning import Callback

from nemo_core.testing.bench import in_turn, versions

STEPS, SKIPPED, ROUNDS = 12, 3, 5
ROWS, LENGTH, VOCABULARY = 4, 256, 8192
ARCHITECTURE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 512,
    "num_layers": 8,
    "num_heads": 8,
    "num_kv_heads": 4,
    "ffn_size": 1376,
    "tied_embeddings": True,
}
TARGET = 1.03


class Clock(Callback):
    """Notes when each step begins; shared by name, since a recipe makes its own."""

    marks: list[float] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Note the time."""
        Clock.marks.append(time.perf_counter())


def run() -> dict[str, Any]:
    """Measure both in turn."""
    torch.set_num_threads(2)
    found = in_turn({"ours": ours, "bare": bare}, rounds=ROUNDS, warmup=1)
    ratio = found["ours"] / found["bare"]
    return {
        "ours": round(1000 * found["ours"], 1),
        "peer": round(1000 * found["bare"], 1),
        "unit": "ms a step",
        "ratio": round(ratio, 3),
        "target": f"<= {TARGET} x the time of a bare loop",
        "ok": ratio <= TARGET,
        "versions": versions("torch", "megatron-core", "pytorch-lightning"),
    }


def ours() -> float:
    """Return the median step of a training with the strategy."""
    from pytorch_lightning import Trainer

    from nemo_core.training.callbacks import NaNGuard, Telemetry
    from nemo_core.training.optimization import attach_optimizer
    from nemo_llm.data.mock import MockData
    from nemo_llm.megatron.strategy import MegatronStrategy
    from nemo_llm.models.language_model import LanguageModel

    Clock.marks.clear()
    model = LanguageModel(ARCHITECTURE)
    attach_optimizer(model, OPTIM)
    strategy = MegatronStrategy()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            strategy=strategy,
            accelerator="cpu",
            devices=1,
            max_steps=STEPS,
            gradient_clip_val=1.0,
            callbacks=[NaNGuard(), Telemetry(), Clock()],
            logger=False,
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
            limit_val_batches=0,
            use_distributed_sampler=False,
        )
        data = MockData(vocab_size=VOCABULARY, sequence_length=LENGTH, global_batch_size=ROWS, seed=1)
        trainer.fit(model, datamodule=data)
    strategy.close()
    return median(Clock.marks)


OPTIM = {
    "name": "adamw",
    "lr": 1e-4,
    "betas": [0.9, 0.95],
    "weight_decay": 0.1,
    "scheduler": {"name": "CosineAnnealing", "warmup_steps": 2, "max_steps": 1000},
}


def bare() -> float:
    """Return the median step of a loop over the engine."""
    from nemo_llm.megatron import Layout, engine
    from nemo_llm.models.config import ModelConfig

    with engine(Layout(), seed=1):
        from megatron.core.distributed import (
            DistributedDataParallel,
            DistributedDataParallelConfig,
            finalize_model_grads,
        )
        from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
        from megatron.core.pipeline_parallel import get_forward_backward_func

        from nemo_llm.models.gpt import build_gpt

        model = build_gpt(ModelConfig.from_dict(ARCHITECTURE))
        settings = DistributedDataParallelConfig(grad_reduce_in_fp32=True, use_distributed_optimizer=True)
        wrapped = DistributedDataParallel(model.config, settings, model)
        optimizer = get_megatron_optimizer(
            OptimizerConfig(
                optimizer="adam",
                lr=1e-4,
                adam_beta2=0.95,
                weight_decay=0.1,
                clip_grad=1.0,
                use_distributed_optimizer=True,
            ),
            [wrapped],
            use_gloo_process_groups=False,
        )
        model.config.finalize_model_grads_func = finalize_model_grads
        schedule = get_forward_backward_func()
        generator = torch.Generator().manual_seed(1)
        marks = []
        for _ in range(STEPS):
            marks.append(time.perf_counter())
            tokens = torch.randint(0, VOCABULARY, (ROWS, LENGTH + 1), generator=generator)
            wrapped.zero_grad_buffer()
            optimizer.zero_grad()
            schedule(
                forward_step_func=forward_step,
                data_iterator=iter([tokens]),
                model=wrapped,
                num_microbatches=1,
                seq_length=LENGTH,
                micro_batch_size=ROWS,
                forward_only=False,
            )
            optimizer.step()
    return median(marks)


def forward_step(source: Any, model: Any) -> Any:
    """Run the model; return its losses and what adds them up."""
    tokens = next(source)
    losses = model(tokens[:, :-1], None, None, labels=tokens[:, 1:])
    return losses, lambda x: (x.sum(), torch.tensor(x.numel(), dtype=torch.int), x.sum().detach())


def median(marks: list[float]) -> float:
    """Return the median time between two steps, without the first."""
    steps = zip(marks[SKIPPED:], marks[SKIPPED + 1 :], strict=False)
    return statistics.median(after - before for before, after in steps)
