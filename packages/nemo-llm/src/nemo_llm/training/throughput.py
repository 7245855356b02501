"""Tokens per second, and the part of the hardware's arithmetic that they use."""

from __future__ import annotations

import time
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

__all__ = ["PEAKS", "Throughput", "peak_flops"]

#: Dense bf16 tensor-core rates of GPUs in FLOP/s, from NVIDIA's data sheets; the first that the name contains counts.
PEAKS = {
    "GB200": 2.5e15,
    "B200": 2.25e15,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "V100": 125e12,
}


def peak_flops(name: str) -> float | None:
    """Return the dense 16-bit rate of the GPU called ``name``, if it is known.

    >>> peak_flops("NVIDIA H100 80GB HBM3")
    989000000000000.0
    """
    return next((peak for part, peak in PEAKS.items() if part in name), None)


class Throughput(Callback):
    """Logs ``tokens_per_second`` (of all processes), ``tflops`` (of each) and, on a GPU that is known, ``mfu``.

    MFU is the model's arithmetic, forward and backward without recomputation (Chowdhery et al., 2022,
    arXiv:2204.02311, appendix B), over the peak of the GPU.

    Args:
        peak: FLOP/s of a device; that of the GPU, if it is known, when not given.
    """

    def __init__(self, peak: float | None = None) -> None:
        self.peak = peak
        self._tokens = 0
        self._seconds = 0.0
        self._mark = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Start the clock."""
        self._mark = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, and log every ``trainer.log_every_n_steps``."""
        self._seconds += time.perf_counter() - self._mark
        rows, length = batch["tokens"].shape
        self._tokens += rows * length
        every = max(1, trainer.log_every_n_steps)  # type: ignore[attr-defined]
        if trainer.global_step % every:
            return
        replicas = trainer.strategy.distributed_sampler_kwargs["num_replicas"]  # type: ignore[attr-defined]
        rate = self._tokens * replicas / self._seconds if self._seconds else 0.0
        self._tokens, self._seconds = 0, 0.0
        metrics = {"tokens_per_second": rate}
        flops = getattr(pl_module, "flops_per_token", None)
        if flops is not None:
            each = rate * flops(length) / trainer.world_size
            metrics["tflops"] = each / 1e12
            peak = self.peak
            if peak is None and torch.cuda.is_available():
                peak = peak_flops(torch.cuda.get_device_name())
            if peak:
                metrics["mfu"] = each / peak
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=trainer.global_step - 1)
