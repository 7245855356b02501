"""What the transducer losses share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nemo_asr.losses.backend import check_backend, with_triton
from nemo_asr.losses.lattice import Arc, lattice_loss
from nemo_asr.losses.reduction import check_reduction, reduce_losses
from nemo_asr.losses.token_scores import token_scores
from nemo_core import types as nt
from nemo_core.errors import ConfigError, DataError
from nemo_core.modules import Loss

__all__ = ["Batch", "Joint", "TransducerLoss"]

Joint = Callable[[Tensor, Tensor], Tensor]
"""From encoder frames (B, T, D) and predictor steps (B, U + 1, D') to logits (B, T, U + 1, C)."""


class Batch(NamedTuple):
    """A batch that was checked; what has to be known on the host is known there."""

    tokens: Tensor  # (B, U + 1, K): which tokens each step of the predictor may lead to, the label first
    input_length: Tensor
    target_length: Tensor
    frames: list[int]
    steps: list[int]
    highest: int  # label


_TOKENIZER = "does the tokenizer belong to the model?"


class TransducerLoss(Loss):
    """Minus the log probability of the text, summed over all alignments; base of the losses of transducers.

    ``loss(logits, ...)`` takes the logits of a whole batch; ``loss.fused(joint, encoded, predicted, ...)`` gives the
    same without ever holding them. The arithmetic is float32 whatever the precision of the logits.

    Args:
        blank: Index of the blank.
        reduction: See :func:`nemo_asr.losses.reduction.reduce_losses`.
        fastemit_lambda: Weight of FastEmit (Yu et al., ICASSP 2021), which rewards emitting early: gradients of labels
            count ``1 + fastemit_lambda`` times, and so does the value of the loss.
        clamp: If positive: limit of the magnitude of the gradient of an utterance's loss by a logit.
        backend: What computes: ``torch``, on any device; ``triton``, on CUDA; ``auto``: Triton on CUDA where it is
            installed, else torch. :class:`nemo_asr.losses.RNNTLoss` knows one more.

    Raises:
        ConfigError: A setting is not possible.
    """

    _backends: tuple[str, ...] = ("auto", "torch", "triton")

    def __init__(
        self,
        blank: int,
        reduction: str = "mean_batch",
        fastemit_lambda: float = 0.0,
        clamp: float = -1.0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        if blank < 0:
            raise ConfigError(f"blank {blank} is negative", hint="it is the index of an output of the joint network")
        self.blank = blank
        self.reduction = check_reduction(reduction)
        self.fastemit_lambda = fastemit_lambda
        self.clamp = clamp
        self.backend = check_backend(backend, self._backends)

    @property
    def input_types(self) -> dict[str, nt.NeuralType]:
        """``logits`` (B, T, U + 1, C), ``targets`` (B, U), ``input_length`` (B,), ``target_length`` (B,)."""
        return {
            "logits": nt.NeuralType(("B", "T", "T", "D"), nt.Logits()),
            "targets": nt.NeuralType(("B", "T"), nt.Labels()),
            "input_length": nt.NeuralType(("B",), nt.Lengths()),
            "target_length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @property
    def output_types(self) -> dict[str, nt.NeuralType]:
        """``loss``, a scalar, or (B,) with the reduction ``none``."""
        return {"loss": nt.NeuralType(("B",) if self.reduction == "none" else (), nt.Loss())}

    @nt.typed
    def forward(self, logits: Tensor, targets: Tensor, input_length: Tensor, target_length: Tensor) -> Tensor:
        """Return the loss; infinite for an utterance that no alignment fits, which then has no gradient.

        Raises:
            ConfigError: The joint network has too few outputs.
            DataError: Lengths or labels do not fit the logits.
        """
        batch = self._batch(logits.shape[:3], targets, input_length, target_length)
        return reduce_losses(self._losses(logits, batch), batch.target_length, self.reduction)

    def fused(
        self,
        joint: Joint,
        encoded: Tensor,
        predicted: Tensor,
        targets: Tensor,
        input_length: Tensor,
        target_length: Tensor,
        frames_at_once: int = 16,
    ) -> Tensor:
        """Return the loss of ``joint(encoded, predicted)``, making the logits of a few frames at a time.

        Values and gradients are those of ``loss(joint(encoded, predicted), ...)``. The backward pass computes the
        logits once more; so memory is that of the logits of ``frames_at_once`` frames, and the joint network runs
        twice.

        Args:
            joint: The joint network, each frame by itself: dropout is fine, batch normalisation is not.
            encoded: (B, T, D) frames of the encoder.
            predicted: (B, U + 1, D') steps of the predictor.
            targets: (B, U) labels.
            input_length: (B,) frames.
            target_length: (B,) labels.
            frames_at_once: More is faster and takes more memory.

        Raises:
            ConfigError: The joint network has too few outputs; ``frames_at_once`` is less than one; the backend is
                torchaudio, which only takes whole logits.
            DataError: Lengths or labels do not fit.
        """
        if self.backend == "torchaudio":
            raise ConfigError("backend 'torchaudio' takes the logits of a whole batch", hint="backend: auto is fused")
        if frames_at_once < 1:
            raise ConfigError(f"frames_at_once {frames_at_once} is less than one")
        shape = (*encoded.shape[:2], predicted.shape[1])
        batch = self._batch(shape, targets, input_length, target_length)

        def part(chunk: Tensor, predicted: Tensor, frames: list[int]) -> tuple[Tensor, Tensor, Tensor]:
            return self._scores(joint(chunk, predicted), batch, frames)

        parts = []
        for index, chunk in enumerate(encoded.split(frames_at_once, dim=1)):
            frames = [min(max(n - index * frames_at_once, 0), chunk.shape[1]) for n in batch.frames]
            if torch.is_grad_enabled():
                parts.append(checkpoint(part, chunk, predicted, frames, use_reentrant=False))
            else:
                parts.append(part(chunk, predicted, frames))
        scores, rest, scale = zip(*parts, strict=True)
        losses = self._sum(torch.cat(scores, dim=1), torch.cat(rest, dim=1), torch.stack(scale).sum(0), batch)
        return reduce_losses(losses, batch.target_length, self.reduction)

    @abstractmethod
    def _lattice(self, scores: Tensor, rest: Tensor) -> tuple[Tensor, Sequence[Arc]]:
        """Return the weights and the arcs of the lattice.

        Args:
            scores: (B, T, U + 1, 1 + blanks) log probabilities of the next label and of ``_blanks()``.
            rest: (B, T, U + 1, D) the outputs of the joint network behind the first ``_size``.
        """

    def _size(self, outputs: int) -> int:
        """Return over how many of the ``outputs`` of the joint network the softmax of the tokens goes."""
        return outputs

    def _blanks(self) -> tuple[int, ...]:
        """Return the tokens of the softmax that emit nothing."""
        return (self.blank,)

    def _batch(self, shape: Sequence[int], targets: Tensor, input_length: Tensor, target_length: Tensor) -> Batch:
        B, T, U1 = shape
        targets, input_length, target_length = targets.long(), input_length.long(), target_length.long()
        counts = torch.arange(U1, device=targets.device) < target_length[:, None]
        labels = targets.new_zeros((B, U1))
        width = min(U1, targets.shape[1])
        labels[:, :width] = targets[:, :width]
        labels.masked_fill_(~counts, 0)  # padding may hold anything
        blanks = torch.tensor(self._blanks(), dtype=torch.long, device=labels.device)
        is_blank = (torch.isin(labels, blanks) & counts).any(1)
        # One transfer to the host for all that is checked and counted there.
        host = torch.stack([input_length, target_length, labels.amin(1), labels.amax(1), is_blank]).tolist()
        frames, count, lowest, highest, has_blank = host
        for b in range(B):
            where = f"utterance {b} of the batch"
            if not 0 <= frames[b] <= T:
                raise DataError(f"{where} has {frames[b]} frames, the logits have {T}")
            if not 0 <= count[b] <= min(U1 - 1, targets.shape[1]):
                raise DataError(
                    f"{where} has {count[b]} labels, the logits have {U1} steps and the targets {targets.shape[1]}",
                    hint="the predictor makes one step more than there are labels",
                )
            if lowest[b] < 0 or has_blank[b]:
                raise DataError(f"a label of {where} is {'a blank' if has_blank[b] else lowest[b]}", hint=_TOKENIZER)
        tokens = torch.cat([labels[..., None], blanks.expand(B, U1, -1)], dim=-1)
        return Batch(tokens, input_length, target_length, frames, [n + 1 for n in count], max(highest, default=0))

    def _losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the losses (B,) of checked input."""
        return self._sum(*self._scores(logits, batch, batch.frames), batch)

    def _scores(self, logits: Tensor, batch: Batch, frames: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        size = self._checked_size(logits.shape[-1], batch)
        triton = with_triton(self.backend, logits.device)
        return token_scores(logits, batch.tokens, size, frames, batch.steps, self.clamp, triton)

    def _checked_size(self, outputs: int, batch: Batch) -> int:
        size = self._size(outputs)
        if size <= max(self._blanks(), default=0):
            name = type(self).__name__
            raise ConfigError(f"{outputs} outputs of the joint network are too few for {name} with blank {self.blank}")
        if batch.highest >= size:
            raise DataError(f"a label is {batch.highest}, the joint network knows labels below {size}", hint=_TOKENIZER)
        return size

    def _sum(self, scores: Tensor, rest: Tensor, scale: Tensor, batch: Batch) -> Tensor:
        weights, arcs = self._lattice(scores, rest)
        lengths, triton = (batch.input_length, batch.target_length), with_triton(self.backend, scores.device)
        return lattice_loss(weights, scale, *lengths, arcs, self.fastemit_lambda, triton)
