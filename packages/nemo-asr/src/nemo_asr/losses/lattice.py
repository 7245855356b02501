"""The sum over all alignments of a transducer, along the anti-diagonals of the lattice of frames and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nemo_asr.losses import triton_lattice

__all__ = ["Arc", "lattice_loss"]


class Arc(NamedTuple):
    """One way to go on from a node (t, u) of the lattice: to (t + duration, u + emits).

    Its log weight is the sum of the named columns of the scores. An arc takes time, or emits a label, or both.
    """

    duration: int
    emits: bool
    columns: tuple[int, ...]

    @property
    def lag(self) -> int:
        """How many anti-diagonals it crosses."""
        return self.duration + self.emits


def lattice_loss(
    scores: Tensor,
    scale: Tensor,
    input_length: Tensor,
    target_length: Tensor,
    arcs: Sequence[Arc],
    fastemit_lambda: float = 0.0,
    with_triton: bool = False,
) -> Tensor:
    """Return minus the log probability of all alignments (Graves, 2012; for arcs that last: Xu et al., ICML 2023).

    An alignment leads from (0, 0) to (T, U) of its utterance and ends with an arc that emits nothing.

    Args:
        scores: (B, T, U + 1, K) log weights.
        scale: (B,), unused but in the backward pass, where it gets the gradient of the losses; see ``token_scores``.
        input_length: (B,) frames.
        target_length: (B,) labels.
        arcs: The arcs that leave each node. The label is scored by column 0.
        fastemit_lambda: Weight of FastEmit (Yu et al., ICASSP 2021): the gradient of column 0 counts
            ``1 + fastemit_lambda`` times, and so does the loss itself.
        with_triton: Whether Triton's kernels go along the anti-diagonals.

    Returns:
        (B,) losses; infinite, with a gradient of zero, where no alignment exists.
    """
    return _LatticeLoss.apply(scores, scale, input_length, target_length, tuple(arcs), fastemit_lambda, with_triton)


class _LatticeLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        scale: Tensor,
        input_length: Tensor,
        target_length: Tensor,
        arcs: tuple[Arc, ...],
        fastemit_lambda: float,
        with_triton: bool,
    ) -> Tensor:
        lengths = (input_length, target_length)
        if with_triton:
            weights = scores.new_empty((len(arcs), *scores.shape[:3]))
            _fill(weights, scores, *lengths, arcs)
            log_probs, posteriors = triton_lattice.sweep(weights, *lengths, arcs, ctx.needs_input_grad[0])
        else:
            log_probs, posteriors = _sweep(scores, *lengths, arcs, ctx.needs_input_grad[0])
        if posteriors is not None:
            grad = torch.zeros_like(scores)
            for a, arc in enumerate(arcs):
                for column in arc.columns:
                    grad[..., column] -= posteriors[a]
            if fastemit_lambda:
                grad[..., 0] *= 1 + fastemit_lambda
            ctx.save_for_backward(grad)
        return -log_probs * (1 + fastemit_lambda)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_losses: Tensor) -> Any:
        (grad,) = ctx.saved_tensors
        return grad * grad_losses[:, None, None, None], grad_losses, None, None, None, None, None


def _sweep(
    scores: Tensor, input_length: Tensor, target_length: Tensor, arcs: tuple[Arc, ...], backwards: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the log probabilities of all alignments (B,) and the posteriors of arcs (A, B, T, U + 1) if wanted."""
    # The lattice is skewed: row n holds the nodes with t + u = n, so that one step of the recursion is one row. All
    # arcs of a node lie together: weights[pad + n, arc, b, 1 + u]. The padding is what an arc sees that would come
    # from outside of the lattice.
    B, T, U1, _ = scores.shape
    pad, rows, A = max(arc.lag for arc in arcs), T + U1, len(arcs)
    weights = scores.new_full((pad + rows, A, B, U1 + 1), -torch.inf)
    by_frame = _by_frame(weights, pad, T)
    _fill(by_frame, scores, input_length, target_length, arcs)
    # What arc a brings to the node at u from row n: weights[pad + n - lag, a, b, 1 + u - emits]. For all arcs at once
    # that is one index_select; other ways of indexing start the threads, however little there is to do.
    row, per_arc, per_utterance, _ = weights.stride()
    origins = [(pad - arc.lag) * row + a * per_arc + (not arc.emits) for a, arc in enumerate(arcs)]
    at = torch.tensor(origins, device=scores.device)
    shape, strides = (max(origins) + 1, B, U1), (1, per_utterance, 1)
    alpha = scores.new_full((rows, B, U1), -torch.inf)
    alpha[0, :, 0] = 0
    inner = weights[pad:, :, :, 1:]
    inner[0] += alpha[0]
    for n in range(1, rows):
        alpha[n] = _logsumexp(weights.as_strided(shape, strides, n * row).index_select(0, at))
        inner[n] += alpha[n]
    last = (input_length + target_length, torch.arange(B, device=scores.device), target_length)
    log_probs = alpha[last]
    if not backwards:
        return log_probs, None
    alpha.masked_fill_(alpha == -torch.inf, 0)  # else the difference to a message of -inf is nan
    for a, arc in enumerate(arcs):
        inner[: max(0, rows - arc.lag), a, :, : U1 - arc.emits] -= alpha[arc.lag :, :, arc.emits :]
    _posteriors(inner.exp_(), last, arcs)
    return log_probs, by_frame


def _by_frame(weights: Tensor, pad: int, frames: int) -> Tensor:
    """Return the skewed ``weights`` as seen by frame and label, (A, B, T, U + 1)."""
    _, A, B, width = weights.shape
    row = weights.stride(0)
    return weights.as_strided((A, B, frames, width - 1), (weights.stride(1), width, row, row + 1), pad * row + 1)


def _fill(by_frame: Tensor, scores: Tensor, input_length: Tensor, target_length: Tensor, arcs: tuple[Arc, ...]) -> None:
    """Write the weights of the arcs that exist."""
    for weight, arc in zip(by_frame, arcs, strict=True):
        first, *others = (scores[..., column] for column in arc.columns)
        weight.copy_(first)
        for other in others:
            weight += other
    _, T, U1, _ = scores.shape
    t = torch.arange(T, device=scores.device)[:, None]
    u = torch.arange(U1, device=scores.device)
    frames, labels = input_length[:, None, None], target_length[:, None, None]
    durations, emits = torch.tensor([arc[:2] for arc in arcs], device=scores.device).T[:, :, None, None, None]
    exists = (t + durations < frames) & (u + emits <= labels)
    exists |= (t + durations == frames) & (emits == 0) & (u == labels)
    by_frame.masked_fill_(exists.logical_not_(), -torch.inf)


def _logsumexp(values: Tensor) -> Tensor:
    """Return the sum over the first dimension; ``values`` are used up."""
    # A few calls of logaddexp, half of the rows with the other half, cost less than the many passes of torch.logsumexp.
    n = len(values)
    while n > 1:
        half = n // 2
        torch.logaddexp(values[:half], values[n - half : n], out=values[:half])
        n -= half
    return values[0]


def _posteriors(shares: Tensor, last: tuple[Tensor, ...], arcs: tuple[Arc, ...]) -> None:
    """Turn ``shares`` (rows, A, B, U + 1), of each arc in the node it leads to, into posterior probabilities, in place.

    One unit of probability flows from the last node back to the first. What flows into a node is the sum of what its
    arcs carry, so the posteriors sum to one across every row whatever the rounding was.
    """
    rows, _, B, U1 = shares.shape
    pad = max(arc.lag for arc in arcs)
    flow = shares.new_zeros((rows + pad, B, U1 + 1))
    flow[last] = 1
    row = flow.stride(0)
    origins = [arc.lag * row + arc.emits for arc in arcs]  # of the flow where an arc leads to
    at = torch.tensor(origins, device=shares.device)
    shape, strides = (max(origins) + 1, B, U1), (1, U1 + 1, 1)
    inner = flow[:, :, :-1]
    for n in range(rows - 1, -1, -1):
        shares[n] *= flow.as_strided(shape, strides, n * row).index_select(0, at)
        inner[n] += shares[n].sum(0)
