"""A loss on what an encoder hears, beside that on what a language model answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["TokenCTC", "with_loss"]


class TokenCTC(nn.Module):
    """Connectionist temporal classification (Graves et al., 2006) of encoded frames as tokens of a language model.

    An encoder that learns by a decoder's answers alone is told little: what it should hear, and not where. CTC beside
    them makes it align frames with words from the first steps (hybrid CTC/attention: Watanabe et al., 2017,
    doi:10.1109/JSTSP.2017.2763455; for what feeds decoder-only language models: Wu et al., 2023, arXiv:2307.03917).

    Args:
        width: Features of a frame.
        classes: Number of tokens; the blank comes behind them.

    Example:
        >>> ctc = TokenCTC(8, 5)
        >>> frames, tokens = torch.randn(2, 8, 9), torch.tensor([[1, 3, 3], [2, 0, 0]])
        >>> ctc(frames, torch.tensor([9, 4]), tokens, torch.tensor([3, 1])).shape
        torch.Size([])
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.linear = nn.Linear(width, classes + 1)

    def forward(self, encoded: Tensor, frames: Tensor, tokens: Tensor, length: Tensor) -> Tensor:
        """Return the sum over all rows of -log p(tokens | frames), nats.

        Rows that have no tokens do not count, nor do those of fewer frames than their tokens need.

        Args:
            encoded: (B, D, T).
            frames: How many of them are a row's own, (B,).
            tokens: (B, U).
            length: How many of them are a row's own, (B,).
        """
        rows = torch.nonzero(length > 0)[:, 0]
        if len(rows) == 0:
            return torch.stack([weight.sum() for weight in self.parameters()]).sum() * 0.0
        scores = self.linear(encoded[rows].transpose(1, 2)).float().log_softmax(-1).transpose(0, 1)
        return functional.ctc_loss(
            scores, tokens[rows], frames[rows], length[rows], blank=self.classes, reduction="sum", zero_infinity=True
        )


class _WithLoss(torch.autograd.Function):
    """The identity, whose gradient brings that of a loss along."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, loss: Tensor) -> Tensor:
        ctx.save_for_backward(loss)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (loss,) = ctx.saved_tensors
        return grads[0], torch.ones_like(loss)


def with_loss(value: Tensor, loss: Tensor) -> Tensor:
    """Return ``value``; when gradients come back through it, those of ``loss`` are added.

    So a part of a model has a loss of its own wherever it stands, in the first stage of a pipeline too.

    >>> weight = torch.ones(2, requires_grad=True)
    >>> (with_loss(weight * 3, (weight * 5).sum()) * 1.0).sum().backward()
    >>> weight.grad
    tensor([8., 8.])
    """
    found: Tensor = _WithLoss.apply(value, loss)
    return found
