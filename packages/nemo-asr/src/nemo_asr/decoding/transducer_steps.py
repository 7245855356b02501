"""The loop of greedy transducer decoding in steps of fixed shape, for CUDA graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from nemo_asr.decoding.transducer_greedy import TransducerGreedy

__all__ = ["decode_in_steps"]

_STEPS = 8  # between two looks at whether all utterances are at their end, for which the host must wait


def decode_in_steps(
    greedy: TransducerGreedy, frames: Tensor, length: Tensor, *, capture: bool
) -> tuple[list[Tensor], Tensor]:
    """Return the tokens that ``greedy`` finds, as its own loop does.

    A GPU is kept waiting by small kernels, each started by the host, rather than by arithmetic. So every step is the
    same for all utterances, whether they are at their end or not, and nothing in it waits for the host: a few steps are
    captured once as a CUDA graph and then replayed. Rounds would need a look at each blank, so there are none: in a
    step an utterance takes a token or a blank. What is captured belongs to one call, so that threads do not meet.

    This has been run on CPUs, without graphs; the capture itself has not been run yet.

    Args:
        greedy: The networks and their options.
        frames: Projected frames (B, T, H).
        length: Frames of each utterance (B,).
        capture: Whether to capture a graph; on CUDA only.

    Returns:
        Tables (4, n) of row, token, start and end, blanks among the tokens, and the scores (B,).
    """
    loop = _Loop(greedy, frames, length)
    if not capture:
        while loop.is_going():
            loop.advance()
        return loop.found, loop.score
    stream, current = torch.cuda.Stream(frames.device), torch.cuda.current_stream(frames.device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        loop.advance()  # as it is, which is also what libraries need before a capture
        if loop.is_going():
            graph = torch.cuda.CUDAGraph()
            graph.capture_begin(capture_error_mode="thread_local")
            loop.steps()
            graph.capture_end()
            while loop.is_going():
                graph.replay()
                loop.keep()
    current.wait_stream(stream)
    return loop.found, loop.score


class _Loop:
    """Where each utterance is; every tensor stays at its place in memory, as graphs want it."""

    def __init__(self, greedy: TransducerGreedy, frames: Tensor, length: Tensor) -> None:
        batch = len(frames)
        self.greedy, self.frames, self.length = greedy, frames, length
        self.jumps = greedy.jumps(frames.device)
        self.rows = torch.arange(batch, device=frames.device)
        self.time, self.here = torch.zeros_like(self.rows), torch.zeros_like(self.rows)
        self.last = torch.full_like(self.rows, -1)
        self.score = frames.new_zeros(batch, dtype=torch.float32)
        self.blanks = torch.full_like(self.rows, greedy.blank)
        self.predicted, state = greedy.predict(self.blanks, greedy.predictor.initial_state(batch))
        self.state = tuple(part.clone() for part in state)
        self.table = self.rows.new_empty(_STEPS, 3, batch)  # token, start and end
        self.found: list[Tensor] = []

    def is_going(self) -> bool:
        """Return whether an utterance is not at its end; waits for the device."""
        return bool((self.time < self.length).any())

    def advance(self) -> None:
        """Take some steps and keep what was found."""
        self.steps()
        self.keep()

    def keep(self) -> None:
        """Keep what the last steps have found."""
        rows = self.rows.expand(_STEPS, 1, -1)
        self.found.append(torch.cat((rows, self.table), dim=1).transpose(0, 1).flatten(1))

    def steps(self) -> None:
        """Take some steps, and write what they find into the table."""
        for place in range(_STEPS):
            self._step(self.table[place])

    def _step(self, found: Tensor) -> None:
        greedy, time = self.greedy, self.time
        active = time < self.length
        now = torch.minimum(time, self.length - 1).clamp(min=0)
        step = greedy.choose(greedy.joint.combine(self.frames[self.rows, now], self.predicted), self.jumps)
        emits = active & (step.token != greedy.blank)
        token = torch.where(emits, step.token, self.blanks)
        end = time + (step.jump if greedy.durations else 1)
        found.copy_(torch.stack((token, time, end)))
        self.score += torch.where(active, step.score, 0.0)

        here = torch.where(time == self.last, self.here, 0) + 1
        jump = step.jump
        if greedy.max_symbols is not None:
            jump = jump + (emits & (jump == 0) & (here >= greedy.max_symbols))
        self.here.copy_(torch.where(emits, here, self.here))
        self.last.copy_(torch.where(emits, time, self.last))
        self.time += torch.where(active, jump, 0)

        predicted, state = greedy.predict(token, self.state)
        _replace(self.predicted, predicted, emits)
        for kept, new in zip(self.state, state, strict=True):
            _replace(kept, new, emits)


def _replace(kept: Tensor, new: Tensor, rows: Tensor) -> None:
    """Put the ``rows`` (B,) of ``new`` into ``kept``."""
    kept.copy_(torch.where(rows.view(-1, *[1] * (kept.dim() - 1)), new, kept))
