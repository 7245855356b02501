"""Stop, or skip the step, when gradients are not finite, before they reach the weights."""

from __future__ import annotations

import logging
from typing import Literal

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import distributed
from torch.distributed.tensor import DTensor

from nemo_core.errors import TrainingError

__all__ = ["NaNGuard"]

logger = logging.getLogger(__name__)


class NaNGuard(Callback):
    """Checks gradients right before each optimiser step, where all ranks have the same ones and so decide alike.

    With fp16 the loss scaler skips overflowing steps by itself, as it should; then only the loss is looked at.

    An optimiser that keeps gradients where torch does not look for them has ``gradients_finite()``, the answer of all
    processes, and ``skip()``, after which the coming step leaves the weights as they are.

    Args:
        action: ``stop`` raises :class:`TrainingError`; ``skip`` leaves the weights as they are and goes on.
        max_skips: Steps that may be skipped in a row; more are an error.
    """

    def __init__(self, action: Literal["stop", "skip"] = "stop", max_skips: int = 10) -> None:
        self.action, self.max_skips = action, max_skips
        self._skips = 0
        self._loss: torch.Tensor | None = None

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor) -> None:
        """Keep the loss, for the message."""
        self._loss = loss.detach()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Look at all gradients at once."""
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            finite = self._loss is None or bool(torch.isfinite(self._loss).all())
        elif hasattr(optimizer, "gradients_finite"):
            finite = optimizer.gradients_finite()
        else:
            finite = _finite(optimizer)
        if finite:
            self._skips = 0
            return
        where = f"step {trainer.global_step + 1} (epoch {trainer.current_epoch}, batch {trainer.fit_loop.batch_idx})"
        loss = "unknown" if self._loss is None else f"{self._loss.float().mean().item():.6g}"
        names = [name for name, p in pl_module.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
        what = f"{where}: loss {loss}, gradients that are not finite in {_shorten(names)}"
        self._skips += 1
        if self.action == "stop" or self._skips > self.max_skips:
            raise TrainingError(
                what if self.action == "stop" else f"{what}; {self._skips} steps in a row",
                hint="lower optim.lr, set trainer.gradient_clip_val, look at that batch, or set experiment.nan=skip",
            )
        logger.warning("skipped %s", what)
        if hasattr(optimizer, "skip"):
            optimizer.skip()
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None  # an optimiser leaves parameters without a gradient alone


def _finite(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether all gradients are finite; waits for a GPU once, not once per gradient."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not gradients:
        return True
    local = [gradient.to_local() if isinstance(gradient, DTensor) else gradient for gradient in gradients]
    norms = torch._foreach_norm(local)
    finite = torch.isfinite(torch.stack([norm.to(norms[0].device, torch.float32) for norm in norms])).all()
    if not any(isinstance(gradient, DTensor) for gradient in gradients):
        return bool(finite)
    # Each process has seen its own part only.
    everywhere = finite.to("cpu", torch.int32)
    distributed.all_reduce(everywhere, op=distributed.ReduceOp.MIN)
    return bool(everywhere)


def _shorten(names: list[str]) -> str:
    if not names:
        return "no parameter"
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
