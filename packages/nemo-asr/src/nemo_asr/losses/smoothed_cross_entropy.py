"""Cross-entropy with label smoothing."""

from __future__ import annotations

from torch import Tensor

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import Loss

__all__ = ["SmoothedCrossEntropyLoss"]


class SmoothedCrossEntropyLoss(Loss):
    """Mean over tokens of the cross-entropy with smoothed labels (Szegedy et al., 2016, arXiv:1512.00567).

    The right token has the probability ``1 - label_smoothing``, all others share the rest.

    Args:
        label_smoothing: What is taken from the right token, from 0 to 1.

    Example:
        >>> import torch
        >>> loss = SmoothedCrossEntropyLoss()
        >>> log_probs = torch.tensor([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]]).log()
        >>> round(float(loss(log_probs, labels=torch.tensor([[0, 2]]), mask=torch.tensor([[True, False]]))), 4)
        0.6931
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"label_smoothing is {label_smoothing}, not in [0, 1)")
        self.label_smoothing = label_smoothing

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``log_probs`` (B, U, C), ``labels`` (B, U), and ``mask`` (B, U) of the tokens that count."""
        return {
            "log_probs": nt.NeuralType(("B", "SEQ", "D"), nt.LogProbs()),
            "labels": nt.NeuralType(("B", "SEQ"), nt.Labels()),
            "mask": nt.NeuralType(("B", "SEQ"), nt.Mask()),
        }

    @nt.typed
    def forward(self, log_probs: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        """Return the loss; zero where no token counts."""
        log_probs = log_probs.float()
        classes = log_probs.shape[-1]
        right = log_probs.gather(2, labels.unsqueeze(2)).squeeze(2)
        smoothing = self.label_smoothing * classes / (classes - 1)
        losses = -((1 - smoothing) * right + smoothing * log_probs.mean(dim=-1))
        counted = mask.to(losses.dtype)
        return (losses * counted).sum() / counted.sum().clamp(min=1.0)
