"""The few log probabilities that a transducer lattice needs, out of logits over a whole vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from nemo_asr.losses import triton_scores

__all__ = ["token_scores"]

# Elements of a block of logits. On a CPU a block stays near the cores between the passes over it, and is yet so large
# that waiting for the slowest thread, once for each pass, costs little where other processes want the cores, too. On
# other devices it bounds the temporary memory.
_CPU_BLOCK, _DEVICE_BLOCK = 1 << 22, 1 << 26


def token_scores(
    logits: Tensor,
    tokens: Tensor,
    size: int,
    frames: Sequence[int],
    steps: Sequence[int],
    clamp: float = -1.0,
    with_triton: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return log probabilities of chosen tokens, without ever keeping those of the other tokens.

    Memory and time of the loss are those of this function: the logits are read once forwards and once backwards, in
    blocks, and all that is kept is the result. Its gradient is written in one go.

    Args:
        logits: (B, T, U + 1, C), in any precision; the arithmetic is float32, or float64 for float64.
        tokens: (B, U + 1, K) indices of the tokens that are wanted at each step of the predictor.
        size: The softmax goes over the first ``size`` outputs.
        frames: How many frames of each utterance count.
        steps: How many steps of the predictor of each utterance count.
        clamp: If positive: largest magnitude of the gradient of a logit, before it is multiplied by the gradient of
            the utterance's loss.
        with_triton: Whether Triton's kernels read the logits.

    Returns:
        ``scores`` (B, T, U + 1, K), zero outside of ``frames`` and ``steps``; ``rest`` (B, T, U + 1, C - size), the
        other logits as they are; ``scale`` (B,), zeros. The gradient that comes in for ``scale`` is taken as the factor
        by which the loss of each utterance is multiplied; only clamping needs it.
    """
    return _TokenScores.apply(logits, tokens, size, tuple(frames), tuple(steps), clamp, with_triton)


class _TokenScores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        tokens: Tensor,
        size: int,
        frames: Sequence[int],
        steps: Sequence[int],
        clamp: float,
        with_triton: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        if with_triton:
            logits, tokens = logits.contiguous(), tokens.contiguous()
            scores, log_sums = triton_scores.gather_scores(logits, tokens, size, frames, steps)
            ctx.save_for_backward(logits, tokens, log_sums)
        else:
            scores = _gather(logits, tokens, size, frames, steps)
            ctx.save_for_backward(logits, tokens)
        ctx.size, ctx.frames, ctx.steps, ctx.clamp = size, frames, steps, clamp
        return scores, logits[..., size:].to(scores.dtype, copy=True), scores.new_zeros(len(logits))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_scores: Tensor, grad_rest: Tensor, grad_scale: Tensor) -> Any:
        logits, tokens, *log_sums = ctx.saved_tensors
        limits = ctx.clamp * grad_scale.abs() if ctx.clamp > 0 else None
        given = (ctx.size, ctx.frames, ctx.steps, grad_scores, grad_rest, limits)
        if log_sums:
            grad = triton_scores.scatter_gradient(logits, tokens, log_sums[0], *given)
        else:
            grad = _scatter(logits, tokens, *given)
        return grad, None, None, None, None, None, None


def _gather(logits: Tensor, tokens: Tensor, size: int, frames: Sequence[int], steps: Sequence[int]) -> Tensor:
    """Return the log probabilities of ``tokens``."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    scores = logits.new_zeros((*logits.shape[:3], tokens.shape[-1]), dtype=dtype)
    for b, t, u in _blocks(logits, frames, steps):
        log_probs = _only(logits[b, t, u], size).log_softmax(-1, dtype=dtype)
        scores[b, t, u] = log_probs.gather(-1, tokens[b, u].expand(len(log_probs), -1, -1))
    return scores


def _scatter(
    logits: Tensor,
    tokens: Tensor,
    size: int,
    frames: Sequence[int],
    steps: Sequence[int],
    grad_scores: Tensor,
    grad_rest: Tensor,
    limits: Tensor | None,
) -> Tensor:
    """Return the gradient of the logits, of magnitude at most ``limits`` (B,)."""
    grad = torch.empty_like(logits)
    mass = -grad_scores.sum(-1, keepdim=True)
    for b, t, u in _blocks(logits, frames, steps):
        part = grad[b, t, u]
        in_place = part.is_contiguous() and part.dtype == mass.dtype
        block = torch.softmax(_only(logits[b, t, u], size), -1, dtype=mass.dtype, out=part if in_place else None)
        block.mul_(mass[b, t, u]).scatter_add_(-1, tokens[b, u].expand(len(block), -1, -1), grad_scores[b, t, u])
        if not in_place:
            part.copy_(block)
    grad[..., size:] = grad_rest
    for each, n_frames, n_steps in zip(grad, frames, steps, strict=True):
        each[n_frames:] = 0
        each[:n_frames, n_steps:] = 0
    if limits is not None:
        for each, limit in zip(grad, limits.to(grad.dtype), strict=True):
            each.clamp_(-limit, limit)
    return grad


def _only(block: Tensor, size: int) -> Tensor:
    """Return a block whose softmax goes over the first ``size`` outputs."""
    if size == block.shape[-1]:
        return block
    # A copy of whole rows, and later results in their place, cost less than to go around the other outputs twice.
    block = block.clone(memory_format=torch.contiguous_format)
    block[..., size:] = -torch.inf
    return block


def _blocks(logits: Tensor, frames: Sequence[int], steps: Sequence[int]) -> Iterator[tuple[int, slice, slice]]:
    """Yield blocks of what counts: utterance, frames, steps."""
    limit = _CPU_BLOCK if logits.device.type == "cpu" else _DEVICE_BLOCK
    for b, (n_frames, n_steps) in enumerate(zip(frames, steps, strict=True)):
        stride = max(1, limit // (n_steps * logits.shape[-1]))
        for start in range(0, n_frames, stride):
            yield b, slice(start, min(start + stride, n_frames)), slice(0, n_steps)
