"""Triton's kernels for ``token_scores``: each row of logits is read once forwards and once backwards."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nemo_asr.losses.backend import jit, tl, triton

__all__ = ["gather_scores", "scatter_gradient"]

_BLOCK = 2048


def gather_scores(
    logits: Tensor, tokens: Tensor, size: int, frames: Sequence[int], steps: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Return log probabilities (B, T, U + 1, K) of ``tokens``, and log sums of exponentials (B, T, U + 1).

    Arguments are those of :func:`nemo_asr.losses.token_scores.token_scores`; ``logits`` and ``tokens`` contiguous.
    """
    B, T, U1, C = logits.shape
    dtype = torch.promote_types(logits.dtype, torch.float32)
    scores = logits.new_zeros((B, T, U1, tokens.shape[-1]), dtype=dtype)
    log_sums = logits.new_zeros((B, T, U1), dtype=dtype)
    if log_sums.numel():
        lengths = torch.tensor([frames, steps], device=logits.device)
        sizes = (T, U1, C, size)
        block = min(_BLOCK, triton.next_power_of_2(size))
        _gather[(B * T * U1,)](
            logits, tokens, lengths, scores, log_sums, *sizes, K=tokens.shape[-1], BLOCK=block, num_warps=4
        )
    return scores, log_sums


def scatter_gradient(
    logits: Tensor,
    tokens: Tensor,
    log_sums: Tensor,
    size: int,
    frames: Sequence[int],
    steps: Sequence[int],
    grad_scores: Tensor,
    grad_rest: Tensor,
    limits: Tensor | None,
) -> Tensor:
    """Return the gradient of the logits, of magnitude at most ``limits`` (B,)."""
    B, T, U1, C = logits.shape
    grad = torch.empty_like(logits)
    if grad.numel():
        lengths = torch.tensor([frames, steps], device=logits.device)
        sizes = (T, U1, C, size)
        gradients = (grad_scores.contiguous(), grad_rest.contiguous(), log_sums if limits is None else limits)
        _scatter[(B * T * U1,)](
            logits,
            tokens,
            lengths,
            log_sums,
            *gradients,
            grad,
            *sizes,
            K=tokens.shape[-1],
            LIMITED=limits is not None,
            BLOCK=min(_BLOCK, triton.next_power_of_2(C)),
            num_warps=4,
        )
    return grad


@jit
def _place(lengths, B, T, U1):
    """Return the row of this program, its row in the tokens, its utterance, and whether it counts."""
    row = tl.program_id(0).to(tl.int64)
    b, t, u = row // (T * U1), row // U1 % T, row % U1
    return row, b * U1 + u, b, (t < tl.load(lengths + b)) & (u < tl.load(lengths + B + b))


@jit
def _gather(logits, tokens, lengths, scores, log_sums, T, U1, C, SIZE, K: tl.constexpr, BLOCK: tl.constexpr):
    row, step, _, counts = _place(lengths, tl.num_programs(0) // (T * U1), T, U1)
    if counts:
        dtype = scores.dtype.element_ty
        columns = tl.arange(0, BLOCK)
        highest = tl.full((), -3e38, dtype)
        total = tl.full((), 0, dtype)
        for start in range(0, SIZE, BLOCK):
            at = start + columns
            x = tl.load(logits + row * C + at, mask=at < SIZE, other=-float("inf")).to(dtype)
            higher = tl.maximum(highest, tl.max(x, 0))
            total = total * tl.exp(highest - higher) + tl.sum(tl.exp(x - higher), 0)
            highest = higher
        log_sum = highest + tl.log(total)
        tl.store(log_sums + row, log_sum)
        for k in tl.static_range(K):
            token = tl.load(tokens + step * K + k)
            tl.store(scores + row * K + k, tl.load(logits + row * C + token).to(dtype) - log_sum)


@jit
def _scatter(
    logits,
    tokens,
    lengths,
    log_sums,
    grad_scores,
    grad_rest,
    limits,
    grad,
    T,
    U1,
    C,
    SIZE,
    K: tl.constexpr,
    LIMITED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row, step, b, counts = _place(lengths, tl.num_programs(0) // (T * U1), T, U1)
    dtype = log_sums.dtype.element_ty
    columns = tl.arange(0, BLOCK)
    log_sum = tl.load(log_sums + row)
    mass = tl.full((), 0, dtype)
    for k in tl.static_range(K):
        mass -= tl.load(grad_scores + row * K + k)
    for start in range(0, C, BLOCK):
        at = start + columns
        x = tl.load(logits + row * C + at, mask=counts & (at < SIZE), other=-float("inf")).to(dtype)
        value = tl.exp(x - log_sum) * mass
        for k in tl.static_range(K):
            token = tl.load(tokens + step * K + k)
            value += tl.where(at == token, tl.load(grad_scores + row * K + k), 0)
        value += tl.load(grad_rest + row * (C - SIZE) + at - SIZE, mask=(at >= SIZE) & (at < C), other=0)
        if LIMITED:
            limit = tl.load(limits + b)
            value = tl.minimum(tl.maximum(value, -limit), limit)
        value = tl.where(counts, value, 0)
        tl.store(grad + row * C + at, value.to(grad.dtype.element_ty), mask=at < C)
