"""Connectionist temporal classification."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from nemo_asr.losses.reduction import check_reduction, reduce_losses
from nemo_core import types as nt
from nemo_core.modules import Loss

__all__ = ["CTCLoss"]


class CTCLoss(Loss):
    """CTC loss (Graves et al., ICML 2006), in float32.

    Args:
        blank: Index of the blank; with NeMo's vocabularies the last one.
        reduction: See :func:`nemo_asr.losses.reduction.reduce_losses`.
        zero_infinity: Whether an utterance that is too short for its text counts zero instead of infinity.

    Example:
        >>> import torch
        >>> loss = CTCLoss(blank=2)
        >>> log_probs = torch.full((1, 4, 3), 1 / 3).log()
        >>> round(float(loss(log_probs, torch.tensor([[0, 1]]), torch.tensor([4]), torch.tensor([2]))), 4)
        1.6864
    """

    def __init__(self, blank: int, reduction: str = "mean_batch", zero_infinity: bool = True) -> None:
        super().__init__()
        self.blank = blank
        self.reduction = check_reduction(reduction)
        self.zero_infinity = zero_infinity

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``log_probs`` (B, T, V + 1), ``targets`` (B, U), ``input_length`` (B,), ``target_length`` (B,)."""
        return {
            "log_probs": nt.NeuralType(("B", "T", "D"), nt.LogProbs()),
            "targets": nt.NeuralType(("B", "T"), nt.Labels()),
            "input_length": nt.NeuralType(("B",), nt.Lengths()),
            "target_length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``loss``, a scalar, or (B,) with the reduction ``none``."""
        return {"loss": nt.NeuralType(("B",) if self.reduction == "none" else (), nt.Loss())}

    @nt.typed
    def forward(self, log_probs: Tensor, targets: Tensor, input_length: Tensor, target_length: Tensor) -> Tensor:
        """Return the loss."""
        losses = F.ctc_loss(
            log_probs.float().transpose(0, 1),
            targets,
            input_length,
            target_length,
            blank=self.blank,
            reduction="none",
            zero_infinity=self.zero_infinity,
        )
        return reduce_losses(losses, target_length, self.reduction)
