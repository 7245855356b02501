"""The loop of generation: choose tokens, let finished rows go, compute on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch

from nemo_llm.generation.sampling import Sampling, choose, uniform
from nemo_llm.generation.stops import StopFinder

if TYPE_CHECKING:
    from nemo_llm.generation.decoder import Decoder, Replaced
    from nemo_llm.tokenizers import StreamDecoder

__all__ = ["FinishReason", "Row", "run"]

FinishReason = Literal["stop", "eos", "length"]


@dataclass
class Row:
    """A text that grows.

    Attributes:
        prompt: Tokens before it.
        key: Of its random numbers.
        room: New tokens at most.
        stream: What turns its tokens into text; None: nobody asks before it is done.
        stops: Texts that end it.
        tokens: So far; the one that ended it is the last.
        logprobs: Of each token, if asked for.
        finish_reason: Why it has ended; None: it has not.
        replaced: Which embeddings of the prompt are others than those of its tokens.
    """

    prompt: Sequence[int]
    key: bytes
    room: int
    stream: StreamDecoder | None = None
    stops: StopFinder | None = None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    replaced: Replaced | None = None

    def take(self, token: int, ends: Set[int]) -> str:
        """Take a token; return the text that is certain now."""
        self.tokens.append(token)
        text = ""
        if token in ends:
            self.finish_reason = "eos"
        elif self.stream is not None:
            text = self._stopped(self.stream.push(token))
        if self.finish_reason is None and len(self.tokens) >= self.room:
            self.finish_reason = "length"
        if self.finish_reason in ("eos", "length") and self.stream is not None:
            text += self._stopped(self.stream.finish())
            if self.finish_reason in ("eos", "length") and self.stops is not None:
                text += self.stops.flush()
        return text

    def _stopped(self, text: str) -> str:
        if self.stops is None:
            return text
        text = self.stops.push(text)
        if self.stops.found is not None:
            self.finish_reason = "stop"
        return text


def run(
    decoder: Decoder,
    rows: Sequence[Row],
    sampling: Sampling,
    *,
    ends: Set[int] = frozenset(),
    known: int | None = None,
    logprobs: bool = False,
) -> Iterator[list[tuple[Row, str]]]:
    """Let rows grow until all have ended; each step yields the rows that grew, and the text that became certain.

    Args:
        decoder: Of the model.
        rows: That begin together.
        sampling: How tokens are chosen.
        ends: Tokens that end a text.
        known: Tokens that the tokenizer knows, where the model has more.
        logprobs: Whether to keep the logarithm of each token's probability, as the model gives it.
    """
    alive = list(rows)
    replaced = [row.replaced for row in rows]
    logits = decoder.start([row.prompt for row in rows], max(row.room for row in rows), replaced)
    seen = None
    if sampling.repetition_penalty != 1:
        seen = torch.zeros(len(rows), logits[:, :known].shape[1], dtype=torch.bool, device=logits.device)
        for place, row in enumerate(rows):
            seen[place, torch.tensor(row.prompt, device=logits.device)] = True
    step = 0
    while True:
        logits = logits[:, :known]
        draws = () if sampling.is_greedy else [uniform(row.key, step) for row in alive]
        tokens = choose(logits, sampling, draws, seen)
        if logprobs:
            found = torch.log_softmax(logits.float(), -1).gather(-1, tokens[:, None]).squeeze(-1).tolist()
            for row, value in zip(alive, found, strict=True):
                row.logprobs.append(value)
        yield [(row, row.take(token, ends)) for row, token in zip(alive, tokens.tolist(), strict=True)]
        stay = [place for place, row in enumerate(alive) if row.finish_reason is None]
        if not stay:
            return
        if seen is not None:
            seen[torch.arange(len(alive), device=seen.device), tokens] = True
        if len(stay) < len(alive):
            alive = [alive[place] for place in stay]
            decoder.keep(stay)
            tokens = tokens[stay]
            seen = None if seen is None else seen[stay]
        logits = decoder.step(tokens)
        step += 1
