"""Triton's kernels for ``lattice_loss``: a program per utterance goes along the anti-diagonals, all labels at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from nemo_asr.losses.backend import jit, tl, triton

if TYPE_CHECKING:
    from nemo_asr.losses.lattice import Arc

__all__ = ["sweep"]


def sweep(
    weights: Tensor, input_length: Tensor, target_length: Tensor, arcs: Sequence[Arc], backwards: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the log probabilities of all alignments (B,) and the posterior probabilities of arcs, if ``backwards``.

    Args:
        weights: (A, B, T, U + 1) log weights of the arcs, contiguous; those that do not exist have -inf.
        input_length: (B,) frames.
        target_length: (B,) labels.
        arcs: What the arcs are.
        backwards: Whether posteriors are wanted.
    """
    _, B, T, U1 = weights.shape
    alpha = weights.new_empty((B, T + 1, U1))
    sizes = (T, U1, tuple(arc.duration for arc in arcs), tuple(int(arc.emits) for arc in arcs))
    block = triton.next_power_of_2(U1)
    # A loop that is pipelined would read a row of the lattice before it is written.
    options = {"BLOCK": block, "num_warps": min(8, max(1, block // 32)), "num_stages": 1}
    _alphas[(B,)](weights, alpha, input_length, target_length, *sizes, **options)
    posteriors = None
    if backwards:
        posteriors, flow = weights.new_zeros(weights.shape), weights.new_empty(alpha.shape)
        _posteriors[(B,)](weights, alpha, flow, posteriors, input_length, target_length, *sizes, **options)
    return alpha.flatten(1).gather(1, (input_length * U1 + target_length)[:, None])[:, 0], posteriors


@jit
def _alphas(
    weights,
    alpha,
    input_length,
    target_length,
    T,
    U1,
    DURATIONS: tl.constexpr,
    EMITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    b = tl.program_id(0).to(tl.int64)
    frames, labels = tl.load(input_length + b), tl.load(target_length + b)
    between = tl.num_programs(0).to(tl.int64) * T * U1  # from one arc to the next
    weights += b * T * U1
    alpha += b * (T + 1) * U1
    u = tl.arange(0, BLOCK)
    for n in range(0, frames + labels + 1):
        t = n - u
        inside = (t >= 0) & (t <= frames) & (u <= labels)
        value = tl.where(inside & (n == 0), 0.0, -float("inf")).to(alpha.dtype.element_ty)
        for a in tl.static_range(len(DURATIONS)):
            before, label = t - DURATIONS[a], u - EMITS[a]
            there = inside & (before >= 0) & (before < frames) & (label >= 0)
            node = before * U1 + label
            message = tl.load(alpha + node, mask=there, other=-float("inf"))
            message += tl.load(weights + a * between + node, mask=there, other=-float("inf"))
            higher = tl.maximum(value, message)
            base = tl.where(higher == -float("inf"), 0.0, higher)
            value = higher + tl.log(tl.exp(value - base) + tl.exp(message - base))
        tl.store(alpha + t * U1 + u, value, mask=inside)
        tl.debug_barrier()  # the next row reads what other threads have written


@jit
def _posteriors(
    weights,
    alpha,
    flow,
    posteriors,
    input_length,
    target_length,
    T,
    U1,
    DURATIONS: tl.constexpr,
    EMITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # One unit of probability flows from the last node back to the first; see the same in plain PyTorch.
    b = tl.program_id(0).to(tl.int64)
    frames, labels = tl.load(input_length + b), tl.load(target_length + b)
    between = tl.num_programs(0).to(tl.int64) * T * U1
    weights += b * T * U1
    posteriors += b * T * U1
    alpha += b * (T + 1) * U1
    flow += b * (T + 1) * U1
    u = tl.arange(0, BLOCK)
    for i in range(0, frames + labels + 1):
        t = frames + labels - i - u
        inside = (t >= 0) & (t <= frames) & (u <= labels)
        node = t * U1 + u
        here = tl.load(alpha + node, mask=inside, other=-float("inf"))
        total = tl.where(inside & (i == 0), 1.0, 0.0).to(alpha.dtype.element_ty)
        for a in tl.static_range(len(DURATIONS)):
            after, label = t + DURATIONS[a], u + EMITS[a]
            there = inside & (t < frames) & (after <= frames) & (label <= labels)
            ahead = after * U1 + label
            arrives = here + tl.load(weights + a * between + node, mask=there, other=-float("inf"))
            share = tl.exp(arrives - tl.load(alpha + ahead, mask=there, other=0.0))
            share *= tl.load(flow + ahead, mask=there, other=0.0)
            share = tl.where(arrives == -float("inf"), 0.0, share)
            tl.store(posteriors + a * between + node, share, mask=there)
            total += share
        tl.store(flow + node, total, mask=inside)
        tl.debug_barrier()
