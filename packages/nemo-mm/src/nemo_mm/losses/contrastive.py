"""What draws pairs together and all else apart: the losses of CLIP and SigLIP.

Both compare each item of one kind with all of the other kind, over all processes. The table of comparisons is never
held whole: rows of it are made in pieces, and the gradients of a piece are computed where it stands.
"""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core.errors import ConfigError, DataError
from nemo_core.modules.loss import Loss
from nemo_core.types import Labels, NeuralType, typed
from nemo_mm.elements import Embedding
from nemo_mm.losses.gathering import gather, rank_and_count

__all__ = ["ContrastiveLoss", "SigmoidLoss", "SoftmaxLoss"]

_Piece = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class ContrastiveLoss(Loss):
    """Base of the losses on pairs of embeddings, with what scales their likeness.

    Args:
        temperature: What cosines are divided by at first; it is learned, as its logarithm.
        max_scale: What they are multiplied with at most.
        chunk_size: Rows of the table of comparisons that are in memory at once; None: all of this process.
        gathered: Whether pairs of other processes are compared with too.
    """

    log_scale: nn.Parameter

    def __init__(
        self,
        temperature: float = 0.07,
        max_scale: float = 100.0,
        chunk_size: int | None = None,
        gathered: bool = True,
    ) -> None:
        super().__init__()
        if temperature <= 0 or max_scale <= 0 or (chunk_size is not None and chunk_size < 1):
            raise ConfigError(f"temperature {temperature}, max_scale {max_scale}, chunk_size {chunk_size}: not above 0")
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.max_scale, self.chunk_size, self.gathered = max_scale, chunk_size, gathered

    @functools.cached_property
    def input_types(self) -> dict[str, NeuralType]:
        """``first`` and ``second`` (B, D), of length 1, and optionally ``labels`` (B,)."""
        return {
            "first": NeuralType(("B", "D"), Embedding()),
            "second": NeuralType(("B", "D"), Embedding()),
            "labels": NeuralType(("B",), Labels(), optional=True),
        }

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied with."""
        return self.log_scale.exp()

    @abc.abstractmethod
    def logits(self, cosines: Tensor) -> Tensor:
        """Return what cosines, of any shape, are worth."""

    def _all(self, first: Tensor, second: Tensor, labels: Tensor | None) -> tuple[Tensor, ...]:
        """Return the embeddings and labels of all processes, and the labels of this one."""
        if len(first) != len(second):
            raise DataError(f"{len(first)} of one kind and {len(second)} of the other are no pairs")
        first, second = first.float(), second.float()
        if self.training:
            # The weight itself is kept below the limit: clamped on the way, it would stay there without a gradient.
            with torch.no_grad():
                self.log_scale.clamp_(max=math.log(self.max_scale))
        rank, count = rank_and_count() if self.gathered else (0, 1)
        if labels is None:  # each pair is the only one of its kind
            labels = torch.arange(len(first), device=first.device) + rank * len(first)
        if count == 1:
            return first, second, first, second, labels, labels
        return first, second, gather(first), gather(second), labels, gather(labels)


class SoftmaxLoss(ContrastiveLoss):
    """Which of all texts belongs to this picture, and the other way round: cross-entropy (CLIP, arXiv:2103.00020).

    With ``labels``, all items of one label belong to each other, in equal parts (UniCL, arXiv:2204.03610): where
    captions repeat, a right answer is not punished for standing in another row.

    Args:
        temperature: What cosines are divided by at first; it is learned.
        max_scale: What they are multiplied with at most.
        chunk_size: Rows of the table of comparisons that are in memory at once; None: all of this process.
        gathered: Whether pairs of other processes are compared with too.

    Example:
        >>> loss = SoftmaxLoss()
        >>> pairs = torch.nn.functional.normalize(torch.eye(4) + 0.01, dim=1)
        >>> bool(loss(first=pairs, second=pairs) < loss(first=pairs, second=pairs.roll(1, 0)))
        True
    """

    @typed
    def forward(self, first: Tensor, second: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the mean over both directions of the cross-entropy of ``first`` and ``second`` (B, D)."""
        first, second, every_first, every_second, mine, every = self._all(first, second, labels)
        scale = self.scale
        one_way = _rows(first, every_second, scale, None, mine, every, self.chunk_size, _cross_entropy)
        return (one_way + _rows(second, every_first, scale, None, mine, every, self.chunk_size, _cross_entropy)) / 2

    def logits(self, cosines: Tensor) -> Tensor:
        """Return cosines times the scale."""
        return cosines * self.scale


class SigmoidLoss(ContrastiveLoss):
    """For each picture and each text: do they belong together? (SigLIP, Zhai et al., 2023, arXiv:2303.15343).

    Args:
        temperature: What cosines are divided by at first; it is learned.
        bias: What is added to all of them at first; learned too. Most pairs do not belong together.
        max_scale: What cosines are multiplied with at most.
        chunk_size: Rows of the table of comparisons that are in memory at once; None: all of this process.
        gathered: Whether pairs of other processes are compared with too.

    Example:
        >>> loss = SigmoidLoss()
        >>> pairs = torch.eye(4)
        >>> round(loss(first=pairs, second=pairs).item(), 3)
        0.693
    """

    def __init__(
        self,
        temperature: float = 0.1,
        bias: float = -10.0,
        max_scale: float = 1000.0,
        chunk_size: int | None = None,
        gathered: bool = True,
    ) -> None:
        super().__init__(temperature, max_scale, chunk_size, gathered)
        self.bias = nn.Parameter(torch.tensor(bias))

    @typed
    def forward(self, first: Tensor, second: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the mean over pictures of the sum over texts, for ``first`` and ``second`` (B, D)."""
        first, _, _, every_second, mine, every = self._all(first, second, labels)
        return _rows(first, every_second, self.scale, self.bias, mine, every, self.chunk_size, _sigmoid)

    def logits(self, cosines: Tensor) -> Tensor:
        """Return cosines times the scale, plus the bias; their sigmoid is a probability."""
        return cosines * self.scale + self.bias


def _cross_entropy(logits: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of the losses of rows (R, N), and its gradient, in the place of the logits."""
    wanted = same / same.sum(1, keepdim=True)
    total = torch.logsumexp(logits, 1)
    loss = total.sum() - (wanted * logits).sum()
    return loss, logits.sub_(total[:, None]).exp_().sub_(wanted)


def _sigmoid(logits: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    sign = torch.where(same, 1.0, -1.0)
    signed = sign * logits
    return -F.logsigmoid(signed).sum(), torch.sigmoid(-signed).mul_(sign).neg_()


class _Rows(torch.autograd.Function):
    """The mean over rows of a loss on scale x (mine @ other.T) + bias, with all gradients made on the way."""

    @staticmethod
    def forward(
        ctx,
        mine: Tensor,
        other: Tensor,
        scale: Tensor,
        bias: Tensor,
        labels: Tensor,
        every: Tensor,
        size: int,
        piece: _Piece,
    ) -> Tensor:
        total, d_scale, d_bias = (mine.new_zeros(()) for _ in range(3))
        d_mine, d_other = torch.empty_like(mine), torch.zeros_like(other)
        count = len(mine)
        with torch.autocast(mine.device.type, enabled=False):
            scaled = mine * scale
            for start in range(0, count, size):
                rows = slice(start, start + size)
                logits = torch.addmm(bias, scaled[rows], other.T)
                loss, d_logits = piece(logits, labels[rows, None] == every[None])
                total += loss
                d_logits /= count
                grad = d_logits @ other
                d_scale += (grad * mine[rows]).sum()
                d_bias += d_logits.sum()
                d_mine[rows] = grad.mul_(scale)
                d_other.addmm_(d_logits.T, scaled[rows])
        ctx.save_for_backward(d_mine, d_other, d_scale, d_bias)
        return total / count

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (*(each * grad for each in ctx.saved_tensors), None, None, None, None)


def _rows(
    mine: Tensor,
    other: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    every: Tensor,
    chunk_size: int | None,
    piece: _Piece,
) -> Tensor:
    bias = torch.zeros((), device=mine.device) if bias is None else bias.float()
    size = chunk_size or max(1, len(mine))
    return _Rows.apply(mine, other, scale.float(), bias, labels, every, size, piece)
