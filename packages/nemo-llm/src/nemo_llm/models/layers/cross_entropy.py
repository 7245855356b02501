"""The output layer and the cross-entropy of its logits in one, without a second copy of the logits.

Logits are as large as everything else together: N tokens by V words. Here they are turned into probabilities where they
lie, and their gradient, a probability less a one, is never written down: the probabilities themselves are multiplied.
The loss of a token is scaled by whatever comes behind, which scales a row of the gradient; so the narrow inputs are
scaled and not the wide logits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nemo_llm.models.layers.linear import WeightGradient, widen

__all__ = ["linear_cross_entropy"]

#: Rows whose logits are made at a time, if those are this many bytes at least.
ROWS, BYTES = 256, 1 << 27
#: Probabilities of more bytes are not kept for the backward pass but computed again.
KEPT = 1 << 31


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, kept: int) -> Tensor:
        wide, columns = widen(weight), weight.shape[0]
        exact = torch.promote_types(hidden.dtype, torch.float32)
        losses = torch.empty(len(hidden), dtype=exact, device=hidden.device)
        keep = any(ctx.needs_input_grad[:2]) and 4 * len(hidden) * columns <= kept
        made = losses.new_empty(len(hidden) if keep else _rows(columns), columns)
        for rows in _pieces(len(hidden), columns):
            place = made[rows] if keep else made[: rows.stop - rows.start]
            losses[rows] = _probabilities(widen(hidden[rows]), wide, labels[rows], place)
        ctx.save_for_backward(hidden, weight, labels)
        ctx.probabilities = made if keep else None
        return losses

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        hidden, weight, labels = ctx.saved_tensors
        wide, columns = widen(weight), weight.shape[0]
        scale = grad[:, None]
        dhidden = torch.empty(hidden.shape, dtype=wide.dtype, device=hidden.device)
        dweight = WeightGradient(weight)
        made = ctx.probabilities
        again = grad.new_empty(_rows(columns), columns) if made is None else None
        for rows in _pieces(len(hidden), columns):
            x, right = widen(hidden[rows]), labels[rows, None]
            if again is not None:
                place = again[: rows.stop - rows.start]
                _probabilities(x, wide, labels[rows], place)
            else:
                place = made[rows]
            chosen = place.gather(1, right)
            place.scatter_(1, right, chosen - 1.0)
            factor = place.to(wide.dtype)
            if ctx.needs_input_grad[0]:
                torch.mm(factor, wide, out=dhidden[rows])
            if ctx.needs_input_grad[1]:
                dweight.add(factor, (x * scale[rows]).to(wide.dtype))
            place.scatter_(1, right, chosen)  # as it was: the graph may be kept for another backward pass
        found = dhidden.mul_(scale).to(hidden.dtype) if ctx.needs_input_grad[0] else None
        return found, dweight.result() if ctx.needs_input_grad[1] else None, None, None


def _probabilities(x: Tensor, weight: Tensor, labels: Tensor, out: Tensor) -> Tensor:
    """Write the probabilities of all words to ``out``; return the negative logarithms of those of ``labels``."""
    if x.dtype == out.dtype:
        torch.mm(x, weight.t(), out=out)
    else:
        out.copy_(torch.mm(x, weight.t()))
    chosen = out.gather(1, labels[:, None])[:, 0]
    highest = out.amax(1)
    torch.softmax(out, 1, out=out)
    # The probability of the likeliest word is one by the sum of the others' exponentials; it is never zero.
    return highest - out.amax(1).log_() - chosen


def _rows(columns: int) -> int:
    return max(ROWS, BYTES // (4 * columns))


def _pieces(count: int, columns: int) -> list[slice]:
    size = _rows(columns)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def linear_cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor, *, kept: int = KEPT) -> Tensor:
    """Return the cross-entropy in nats of the logits ``hidden @ weight.T``; differentiable.

    Args:
        hidden: ``(N, D)``.
        weight: ``(V, D)``, of the output layer.
        labels: ``(N,)``, int64; a negative one does not count: its logits are not computed, and its loss is 0.
        kept: Bytes of probabilities that are kept for the backward pass; they are computed again where there are more.

    Returns:
        ``(N,)``, float32.

    >>> linear_cross_entropy(torch.zeros(1, 4), torch.ones(8, 4), torch.tensor([3])).exp().item()
    8.0
    """
    (places,) = torch.nonzero(labels >= 0, as_tuple=True)
    if len(places) == len(labels):
        return _LinearCrossEntropy.apply(hidden, weight, labels, kept)
    found = torch.zeros(len(labels), dtype=torch.promote_types(hidden.dtype, torch.float32), device=hidden.device)
    if len(places) == 0:
        places = places.new_zeros(1)  # all processes must have gradients, or none
    rows = hidden.index_select(0, places)
    losses = _LinearCrossEntropy.apply(rows, weight, labels.index_select(0, places).clamp(min=0), kept)
    return found.index_copy(0, places, losses)
