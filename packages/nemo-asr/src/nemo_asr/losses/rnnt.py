"""The losses of RNN-T, TDT and multi-blank transducers: which arcs their lattices have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_asr import torchaudio_support
from nemo_asr.losses.lattice import Arc
from nemo_asr.losses.transducer import Batch, TransducerLoss
from nemo_core.errors import ConfigError, DataError

__all__ = ["MultiblankRNNTLoss", "RNNTLoss", "TDTLoss"]

_RNNT = (Arc(0, True, (0,)), Arc(1, False, (1,)))


class RNNTLoss(TransducerLoss):
    """RNN transducer (Graves, 2012): a blank takes one frame, a label none.

    Args:
        blank: Index of the blank; with NeMo's vocabularies the last one.
        reduction: See :func:`nemo_asr.losses.reduction.reduce_losses`.
        fastemit_lambda: See :class:`TransducerLoss`.
        clamp: See :class:`TransducerLoss`.
        factorized_blank: Whether, as in HAT (Variani et al., ICASSP 2020), blank or not is one decision, a sigmoid of
            the last logit, and which label another, a softmax of the others.
        backend: See :class:`TransducerLoss`; also ``torchaudio``: its op, which knows no ``fastemit_lambda``, no
            ``factorized_blank`` and no ``fused``, where it loads.

    Example:
        Two frames, one label: it comes before the first blank or before the second, each path has three steps.

        >>> loss = RNNTLoss(blank=2)
        >>> logits = torch.zeros(1, 2, 2, 3)
        >>> value = loss(logits, torch.tensor([[0]]), torch.tensor([2]), torch.tensor([1]))
        >>> torch.allclose(value, -torch.tensor(2 / 3**3).log())
        True
    """

    _backends = (*TransducerLoss._backends, "torchaudio")

    def __init__(
        self,
        blank: int,
        reduction: str = "mean_batch",
        fastemit_lambda: float = 0.0,
        clamp: float = -1.0,
        factorized_blank: bool = False,
        backend: str = "auto",
    ) -> None:
        super().__init__(blank, reduction, fastemit_lambda, clamp, backend)
        self.factorized_blank = factorized_blank
        if backend == "torchaudio" and (factorized_blank or fastemit_lambda):
            setting = "factorized_blank" if factorized_blank else "fastemit_lambda"
            raise ConfigError(f"backend 'torchaudio' knows no {setting}", hint="backend: auto does")

    def _blanks(self) -> tuple[int, ...]:
        return () if self.factorized_blank else (self.blank,)

    def _size(self, outputs: int) -> int:
        if not self.factorized_blank:
            return outputs
        if self.blank != outputs - 1:
            raise ConfigError(
                f"blank {self.blank} is not the last of the {outputs} outputs of the joint network",
                hint="factorized_blank takes the last output for the blank",
            )
        return outputs - 1

    def _lattice(self, scores: Tensor, rest: Tensor) -> tuple[Tensor, Sequence[Arc]]:
        if self.factorized_blank:
            scores = torch.cat([scores + F.logsigmoid(-rest), F.logsigmoid(rest)], dim=-1)
        return scores, _RNNT

    def _losses(self, logits: Tensor, batch: Batch) -> Tensor:
        if self.backend != "torchaudio":
            return super()._losses(logits, batch)
        self._checked_size(logits.shape[-1], batch)
        torchaudio = torchaudio_support.load(extension=True)
        frames, steps = max(batch.frames), max(batch.steps)  # the op wants no padding beyond the longest
        if not min(batch.frames):
            raise DataError("an utterance of the batch has no frames, which torchaudio's loss cannot take")
        return torchaudio.functional.rnnt_loss(
            logits[:, :frames, :steps].float().contiguous(),
            batch.tokens[:, : steps - 1, 0].int().contiguous(),
            batch.input_length.int(),
            batch.target_length.int(),
            blank=self.blank,
            clamp=self.clamp,
            reduction="none",
        )


class MultiblankRNNTLoss(TransducerLoss):
    """Multi-blank transducer (Xu et al., ICASSP 2023): further blanks take several frames at once.

    Args:
        blank: Index of the blank of one frame. The big blanks are before it: that of ``big_blank_durations[i]`` is
            ``blank - 1 - i``.
        big_blank_durations: How many frames the big blanks take.
        sigma: Logit under-normalisation: what is subtracted from every log probability, so that short paths win.
        reduction: See :func:`nemo_asr.losses.reduction.reduce_losses`.
        fastemit_lambda: See :class:`TransducerLoss`.
        clamp: See :class:`TransducerLoss`.
        backend: See :class:`TransducerLoss`.

    Example:
        >>> loss = MultiblankRNNTLoss(blank=2, big_blank_durations=[2])
        >>> logits = torch.zeros(1, 2, 1, 3)  # no label: two blanks, or the big one
        >>> value = loss(logits, torch.zeros(1, 0), torch.tensor([2]), torch.tensor([0]))
        >>> torch.allclose(value, -torch.tensor(1 / 9 + 1 / 3).log())
        True
    """

    def __init__(
        self,
        blank: int,
        big_blank_durations: Sequence[int] = (2, 4, 8),
        sigma: float = 0.0,
        reduction: str = "mean_batch",
        fastemit_lambda: float = 0.0,
        clamp: float = -1.0,
        backend: str = "auto",
    ) -> None:
        super().__init__(blank, reduction, fastemit_lambda, clamp, backend)
        self.big_blank_durations = _durations("big_blank_durations", big_blank_durations, lowest=2)
        if len(self.big_blank_durations) > blank:
            raise ConfigError(
                f"blank {blank} leaves no place for {len(self.big_blank_durations)} big blanks before it",
                hint="blank counts labels and big blanks",
            )
        self.sigma = sigma

    def _blanks(self) -> tuple[int, ...]:
        return (self.blank, *(self.blank - 1 - i for i in range(len(self.big_blank_durations))))

    def _lattice(self, scores: Tensor, rest: Tensor) -> tuple[Tensor, Sequence[Arc]]:
        big = [Arc(duration, False, (2 + i,)) for i, duration in enumerate(self.big_blank_durations)]
        return scores - self.sigma, [*_RNNT, *big]


class TDTLoss(TransducerLoss):
    """Token-and-duration transducer (Xu et al., ICML 2023): every token comes with the number of frames it takes.

    The last ``len(durations)`` outputs of the joint network are the logits of the durations, independent of those of
    the tokens.

    Args:
        blank: Index of the blank; with NeMo's vocabularies the last token.
        durations: How many frames a token can take. A blank takes at least one, whatever they are.
        sigma: Logit under-normalisation: what is subtracted from the log probabilities of tokens, so that long
            durations win.
        omega: Share of the calls in training that get the loss of RNN-T on the tokens, without durations, instead.
        reduction: See :func:`nemo_asr.losses.reduction.reduce_losses`.
        fastemit_lambda: See :class:`TransducerLoss`.
        clamp: See :class:`TransducerLoss`; holds for logits of tokens and of durations.
        backend: See :class:`TransducerLoss`.

    Example:
        >>> loss = TDTLoss(blank=2, durations=[0, 1, 2])
        >>> logits = torch.zeros(1, 2, 1, 3 + 3)  # no label: two blanks of one frame, or one of two
        >>> value = loss(logits, torch.zeros(1, 0), torch.tensor([2]), torch.tensor([0]))
        >>> torch.allclose(value, -torch.tensor(1 / 9**2 + 1 / 9).log())
        True
    """

    def __init__(
        self,
        blank: int,
        durations: Sequence[int] = (0, 1, 2, 3, 4),
        sigma: float = 0.0,
        omega: float = 0.0,
        reduction: str = "mean_batch",
        fastemit_lambda: float = 0.0,
        clamp: float = -1.0,
        backend: str = "auto",
    ) -> None:
        super().__init__(blank, reduction, fastemit_lambda, clamp, backend)
        self.durations = _durations("durations", durations, lowest=0)
        if not any(self.durations):
            raise ConfigError("durations: none is positive", hint="without one there is no way to the end")
        if not 0 <= omega <= 1:
            raise ConfigError(f"omega {omega} is no probability")
        self.sigma = sigma
        self.omega = omega

    def _size(self, outputs: int) -> int:
        return outputs - len(self.durations)

    def _lattice(self, scores: Tensor, rest: Tensor) -> tuple[Tensor, Sequence[Arc]]:
        if self.training and self.omega and torch.rand(()) < self.omega:
            return scores, _RNNT
        arcs = []
        for column, duration in enumerate(self.durations, start=2):
            arcs.append(Arc(duration, True, (0, column)))
            if duration:
                arcs.append(Arc(duration, False, (1, column)))
        return torch.cat([scores - self.sigma, rest.log_softmax(-1)], dim=-1), arcs


def _durations(name: str, durations: Sequence[int], lowest: int) -> tuple[int, ...]:
    if len(set(durations)) < len(durations) or any(duration < lowest for duration in durations):
        raise ConfigError(f"{name} {list(durations)}", hint=f"different whole numbers of frames, from {lowest} on")
    return tuple(durations)
