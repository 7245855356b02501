"""Softmax over angles."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.modules import Loss

__all__ = ["AngularSoftmaxLoss"]

_EDGE = 1e-7  # the derivative of acos is infinite at -1 and 1


class AngularSoftmaxLoss(Loss):
    """Cross-entropy of scaled cosines, with a margin added to the angle of the right class.

    ArcFace (Deng et al., 2019, arXiv:1801.07698).

    Args:
        scale: What cosines are multiplied by.
        margin: What the angle of the right class is made wider by, radians.

    Example:
        >>> loss = AngularSoftmaxLoss(scale=30, margin=0.2)
        >>> cosines, labels = torch.tensor([[0.5, 0.4, 0.1]]), torch.tensor([0])
        >>> bool(loss(cosines, labels) > AngularSoftmaxLoss(scale=30, margin=0.0)(cosines, labels))
        True
    """

    def __init__(self, scale: float = 20.0, margin: float = 1.35) -> None:
        super().__init__()
        self.scale = scale
        self.margin = margin

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``logits`` (B, C), which are cosines, and ``labels`` (B,)."""
        return {"logits": nt.NeuralType(("B", "D"), nt.Logits()), "labels": nt.NeuralType(("B",), nt.Labels())}

    @nt.typed
    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of the batch."""
        labels = labels.unsqueeze(1)
        right = logits.float().gather(1, labels).clamp(-1 + _EDGE, 1 - _EDGE)
        wider = torch.cos(right.acos() + self.margin)
        return F.cross_entropy(self.scale * logits.float().scatter(1, labels, wider), labels.squeeze(1))
