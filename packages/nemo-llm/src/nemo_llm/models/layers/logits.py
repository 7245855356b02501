"""What the rows that only fill up a vocabulary say: nothing."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["hide_padding"]


def hide_padding(logits: Tensor, valid: int, padded: int, rank: int) -> Tensor:
    """Return logits in which those of filling rows are minus infinity.

    Args:
        logits: ``(..., V)``, or this process's part of the columns.
        valid: Tokens of the vocabulary.
        padded: Rows, those that fill up counted.
        rank: Which part it is.

    >>> hide_padding(torch.zeros(1, 2), 3, 4, 1)
    tensor([[0., -inf]])
    """
    if padded == valid:
        return logits
    columns = logits.shape[-1]
    first = 0 if columns == padded else rank * columns
    if first + columns <= valid:
        return logits
    hidden = torch.arange(first, first + columns, device=logits.device) >= valid
    return logits.masked_fill(hidden, float("-inf"))
