"""Greedy decoding of transducers, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_asr.decoding.ctc_greedy import TokenPath
from nemo_asr.decoding.transducer_steps import decode_in_steps
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_asr.modules.joint import RNNTJoint
    from nemo_asr.modules.predictor import Predictor

__all__ = ["TransducerGreedy"]

#: Frames that the joint network sees in one call, of all utterances together.
_AT_ONCE = 32


class Step(NamedTuple):
    """A step in each of N lattices: what is emitted, how many frames it takes, its log-probability, each (N,)."""

    token: Tensor
    jump: Tensor
    score: Tensor


@dataclass(frozen=True)
class TransducerGreedy:
    """Takes at every frame what is likeliest there: a token, or a blank, which leads to a later frame.

    The answer is that of the plain loop over the frames of one utterance. The work is done by label-looping (Bataev et
    al., 2024, arXiv:2406.06220): each utterance of a batch looks for its next token, in its own frames, and then the
    predictor, which is the expensive part, takes one step for all that found one. Utterances that are at their end are
    dropped from the batch.

    A token takes no frame (RNN-T), or as many as are predicted with it (TDT). After ``max_symbols`` tokens in one frame
    the next frame is looked at, whatever is likely.

    Args:
        predictor: The prediction network.
        joint: The joint network.
        blank: Index of the blank.
        durations: TDT: how many frames each of the joint network's last outputs stands for. A blank takes at least one.
        big_blank_durations: Multi-blank: how many frames the blanks before ``blank`` take, the nearest first.
        max_symbols: Most tokens in one frame; None for any number.
        factorized_blank: HAT: whether blank or not is a decision of its own, that of the last output.
        cuda_graph: Whether the steps are captured as a CUDA graph where the device is a GPU, which a predictor or joint
            network that waits for the host does not allow; see :mod:`nemo_asr.decoding.transducer_steps`.

    Example:
        A predictor that counts tokens, and a joint network that has one for every two frames:

        >>> class Count:
        ...     def initial_state(self, batch):
        ...         return (-torch.ones(batch, 1),)
        ...     def step(self, tokens, state):
        ...         return state[0] + 1, (state[0] + 1,)
        >>> class EveryTwo:
        ...     def project_encoder(self, encoded):
        ...         return encoded
        ...     def project_predictor(self, predicted):
        ...         return predicted
        ...     def combine(self, frames, predicted):
        ...         return torch.cat([frames - 2 * predicted, 1.5 + 0 * frames], dim=-1)
        >>> greedy = TransducerGreedy(Count(), EveryTwo(), blank=1)
        >>> path, = greedy(torch.arange(6.0)[None, None], torch.tensor([6]))
        >>> path.tokens, path.starts
        ((0, 0), (2, 4))
    """

    predictor: Predictor
    joint: RNNTJoint
    blank: int
    durations: Sequence[int] = ()
    big_blank_durations: Sequence[int] = ()
    max_symbols: int | None = 10
    factorized_blank: bool = False
    cuda_graph: bool = True

    def __post_init__(self) -> None:
        if self.max_symbols is not None and self.max_symbols < 1:
            raise ConfigError(f"max_symbols is {self.max_symbols}", hint="give at least 1, or null for any number")
        if bool(self.durations) + bool(self.big_blank_durations) + self.factorized_blank > 1:
            raise ConfigError("durations, big_blank_durations and factorized_blank belong to different transducers")

    @torch.inference_mode()
    def __call__(self, encoded: Tensor, length: Tensor) -> list[TokenPath]:
        """Return the best path of each utterance.

        Args:
            encoded: Frames (B, D, T) of the encoder.
            length: Frames of each utterance (B,).

        Returns:
            Paths whose score is the log-probability of all their steps, blanks too. A token ends after the frames that
            were predicted with it; where there are no ``durations``, with its own frame.
        """
        frames = self.joint.project_encoder(encoded.transpose(1, 2))  # (B, T, H)
        if frames.is_cuda and self.cuda_graph:
            found, score = decode_in_steps(self, frames, length, capture=True)
        else:
            found, score = self._decode_in_rounds(frames, length)
        return _paths(found, score, self.blank)

    def _decode_in_rounds(self, frames: Tensor, length: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return of each round a table (4, n) of row, token, start and end, and the scores (B,)."""
        jumps = self.jumps(frames.device)
        score = frames.new_zeros(len(frames), dtype=torch.float32)
        found: list[Tensor] = []

        # Of each utterance that is not at its end: its row, its frame, that of its last token, how many are there.
        rows = (length > 0).nonzero().squeeze(1)
        time, last, here = torch.zeros_like(rows), torch.full_like(rows, -1), torch.zeros_like(rows)
        predicted, state = self.predict(torch.full_like(rows, self.blank), self.predictor.initial_state(len(rows)))
        while len(rows):
            start, step = self._search(frames, predicted, rows, time, length[rows], jumps)
            score[rows] += step.score
            here = torch.where(start == last, here, 0) + 1
            time, last = start + step.jump, start
            if self.max_symbols is not None:
                time += (step.jump == 0) & (here >= self.max_symbols)
            found.append(torch.stack((rows, step.token, start, start + (step.jump if self.durations else 1))))
            left = ((step.token != self.blank) & (time < length[rows])).nonzero().squeeze(1)
            rows, time, last, here = rows[left], time[left], last[left], here[left]
            if len(rows):
                predicted, state = self.predict(step.token[left], tuple(each[left] for each in state))
        return found, score

    def predict(self, tokens: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return what the joint network needs of the predictor after ``tokens`` (B,), and the state then."""
        predicted, state = self.predictor.step(tokens, state)
        return self.joint.project_predictor(predicted), state

    def _search(
        self, frames: Tensor, predicted: Tensor, rows: Tensor, time: Tensor, length: Tensor, jumps: Tensor
    ) -> tuple[Tensor, Step]:
        """Return of each row the frame of its next token and the step there, or of its last blank.

        The scores are those of all steps on the way.
        """
        start, score = time.clone(), frames.new_zeros(len(rows), dtype=torch.float32)
        token, jump = torch.full_like(rows, self.blank), torch.zeros_like(rows)
        searching = torch.arange(len(rows), device=rows.device)
        while len(searching):
            at, end = start[searching, None], length[searching, None]
            # What the joint network costs is reading its weights: a few frames ahead come for nothing.
            width = max(1, min(_AT_ONCE // len(searching), int((end - at).amax())))
            ahead = at + torch.arange(width, device=rows.device)
            seen = frames[rows[searching, None], ahead.clamp(max=frames.shape[1] - 1)]
            logits = self.joint.combine(seen, predicted[searching, None])
            step = Step(*(each.view(-1, width) for each in self.choose(logits.flatten(0, 1), jumps)))
            goes_on = (step.token == self.blank) & (ahead + step.jump < end)
            column, way = _walk(step.jump * goes_on, step.score * goes_on)
            start[searching] += column
            score[searching] += way
            inside = column < width
            there, column = inside.nonzero().squeeze(1), column[inside]
            found = searching[inside]
            token[found], jump[found] = step.token[there, column], step.jump[there, column]
            score[found] += step.score[there, column]
            searching = searching[~inside]
        return start, Step(token, jump, score)

    def jumps(self, device: torch.device) -> Tensor:
        """Return how many frames durations take, or a label, each big blank by its index, and the blank."""
        return torch.tensor(self.durations or (0, *reversed(self.big_blank_durations), 1), device=device)

    def choose(self, logits: Tensor, jumps: Tensor) -> Step:
        """Return the likeliest steps by ``logits`` (N, C), all blanks as ``blank``.

        Args:
            logits: Outputs of the joint network.
            jumps: What :meth:`jumps` gives.
        """
        logits = logits.float()
        tokens = logits[:, : logits.shape[1] - len(self.durations)]
        if self.factorized_blank:
            tokens = torch.cat(
                [tokens[:, :-1].log_softmax(-1) + F.logsigmoid(-tokens[:, -1:]), F.logsigmoid(tokens[:, -1:])], dim=-1
            )
        else:
            tokens = tokens.log_softmax(-1)
        score, token = tokens.max(-1)
        if self.durations:
            best, index = logits[:, -len(self.durations) :].log_softmax(-1).max(-1)
            jump = torch.maximum(jumps[index], (token == self.blank).long())
            score = score + best
        else:
            kind = (token - (self.blank - len(jumps) + 1)).clamp(min=0)  # 0 for labels; blanks are behind them
            jump, token = jumps[kind], torch.where(kind > 0, self.blank, token)
        return Step(token, jump, score)


def _walk(jump: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """Follow the jumps from the first column of each row to one that jumps no more, or out of the window.

    Args:
        jump: How many columns on, 0 to stay (N, W).
        score: Of each jump (N, W).

    Returns:
        The column where each walk ends, W or more outside, and the sum of the scores on the way, each (N,).
    """
    if jump.shape[1] == 1:
        return jump[:, 0], score[:, 0]
    outside = int(jump.amax())
    width = jump.shape[1] + outside
    ends = torch.arange(width, device=jump.device) + F.pad(jump, (0, outside))
    score = F.pad(score, (0, outside))
    for _ in range((jump.shape[1] - 1).bit_length()):  # each time the walks are twice as long
        score = score + score.gather(1, ends)
        ends = ends.gather(1, ends)
    return ends[:, 0], score[:, 0]


def _paths(found: list[Tensor], score: Tensor, blank: int) -> list[TokenPath]:
    """Return the paths of the utterances from tables (4, n) of row, token, start and end, in the order of time."""
    table = torch.cat(found, dim=1).cpu() if found else torch.empty(4, 0, dtype=torch.long)
    table = table[:, table[1] != blank]
    table = table[:, table[0].argsort(stable=True)]
    counts = torch.bincount(table[0], minlength=len(score)).tolist()
    paths = []
    for part, each in zip(table[1:].split(counts, dim=1), score.tolist(), strict=True):
        token, start, end = (tuple(row) for row in part.tolist())
        paths.append(TokenPath(token, start, end, each))
    return paths
