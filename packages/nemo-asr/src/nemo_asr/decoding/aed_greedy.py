"""Greedy decoding of attention encoder-decoders, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nemo_asr.decoding.ctc_greedy import TokenPath
from nemo_asr.modules.token_classifier import TokenClassifier
from nemo_asr.modules.transformer_decoder import TransformerDecoder
from nemo_core.errors import DataError

__all__ = ["AEDLimits", "aed_greedy_search", "most_tokens"]


@dataclass(frozen=True, slots=True)
class AEDLimits:
    """What decoding may give, and where it ends.

    Attributes:
        end: The token that ends a text.
        padding: The token that stands for nothing, and ends a text too.
        vocabulary_size: Tokens from this on are none, though the decoder may have outputs for them.
        max_length: Most tokens of prompt and text together; None for as many as the decoder has positions, and one.
        max_delta: How many tokens prompt and text may have more than there are frames; None for any number.
    """

    end: int
    padding: int
    vocabulary_size: int
    max_length: int | None = None
    max_delta: int | None = None


def aed_greedy_search(
    decoder: TransformerDecoder,
    classifier: TokenClassifier,
    encoded: Tensor,
    length: Tensor,
    prompts: Sequence[Sequence[int]],
    limits: AEDLimits,
) -> list[TokenPath]:
    """Return for each utterance the text that takes the most probable token each time.

    The decoder goes on from what it has computed. Prompts may differ in length: an utterance with a longer one reads on
    while others answer. Utterances that are done leave the batch. What an utterance gives depends neither on the others
    nor on padding.

    Args:
        decoder: Tokens to hidden states.
        classifier: Hidden states to log-probabilities.
        encoded: Frames (B, D, T).
        length: Frames of each utterance (B,).
        prompts: What the decoder reads first.
        limits: Where it ends.

    Returns:
        The tokens after the prompt, without the end, and their log-probability, the end's included; no times.

    Raises:
        DataError: A prompt is longer than what the decoder can read.

    Example:
        >>> decoder = TransformerDecoder(10, hidden_size=16, num_layers=1, inner_size=32).eval()
        >>> limits = AEDLimits(end=2, padding=1, vocabulary_size=10, max_length=8)
        >>> frames, length = torch.randn(1, 16, 20), torch.tensor([20])
        >>> path, = aed_greedy_search(decoder, TokenClassifier(16, 10).eval(), frames, length, [[3, 4]], limits)
        >>> len(path.tokens) <= 6
        True
    """
    if not prompts:
        return []
    device = encoded.device
    most = most_tokens(decoder, length, prompts, limits)
    prompt_length = torch.tensor([len(prompt) for prompt in prompts], device=device)
    shortest, longest = int(prompt_length.min()), int(prompt_length.max())
    tokens = torch.full((len(prompts), max(int(most.max()), longest)), limits.padding, device=device)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = torch.tensor(prompt, device=device)
    score = torch.zeros(len(prompts), device=device)
    ends = most.clone()  # where each text ends

    rows = (prompt_length < most).nonzero(as_tuple=True)[0]
    state = decoder.start(encoded, length)
    if len(rows) < len(prompts):
        state = state.select(rows)
    place = 0
    while len(rows):
        until = max(shortest, place + 1)
        hidden, state = decoder.step(tokens[rows, place:until], state)
        place = until
        log_probs = classifier(hidden=hidden[:, -1:])[:, 0, : limits.vocabulary_size]
        best, token = log_probs.max(dim=-1)
        answering = place >= prompt_length[rows]
        tokens[rows, place] = torch.where(answering, token, tokens[rows, place])
        score[rows] += torch.where(answering, best, 0.0)
        ended = answering & ((token == limits.end) | (token == limits.padding))
        ends[rows[ended]] = place
        going = ~ended & (place + 1 < most[rows])
        if not bool(going.all()):
            rows, state = rows[going], state.select(going)

    table, stops, scores = tokens.tolist(), ends.tolist(), score.tolist()
    return [
        TokenPath(tuple(row[len(prompt) : stop]), (), (), total)
        for row, prompt, stop, total in zip(table, prompts, stops, scores, strict=True)
    ]


def most_tokens(
    decoder: TransformerDecoder, length: Tensor, prompts: Sequence[Sequence[int]], limits: AEDLimits
) -> Tensor:
    """Return the most tokens that prompt and text of each utterance may have together (B,).

    Raises:
        DataError: A prompt is longer than what the decoder can read, or empty.
    """
    positions = decoder.max_sequence_length
    for prompt in prompts:
        if not 0 < len(prompt) <= positions:
            raise DataError(
                f"a prompt of {len(prompt)} tokens cannot be read by a decoder with {positions} positions",
                hint="shorten what the prompt says" if prompt else "a prompt has at least one token",
            )
    # The last token is never read, so that there may be one more than positions.
    most = torch.full_like(length, min(limits.max_length or positions + 1, positions + 1))
    return most if limits.max_delta is None else most.minimum(length + limits.max_delta)
