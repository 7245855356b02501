"""Beam search of attention encoder-decoders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nemo_asr.decoding.aed_greedy import AEDLimits, most_tokens
from nemo_asr.decoding.ctc_greedy import TokenPath
from nemo_asr.modules.token_classifier import TokenClassifier
from nemo_asr.modules.transformer_decoder import DecoderState, TransformerDecoder

__all__ = ["aed_beam_search"]


def aed_beam_search(
    decoder: TransformerDecoder,
    classifier: TokenClassifier,
    encoded: Tensor,
    length: Tensor,
    prompts: Sequence[Sequence[int]],
    limits: AEDLimits,
    beam_size: int,
    length_penalty: float = 0.0,
) -> list[TokenPath]:
    """Return for each utterance the likeliest of the texts that a beam search finds.

    The beams of an utterance are decoded together, one utterance after the other.

    Args:
        decoder: Tokens to hidden states.
        classifier: Hidden states to log-probabilities.
        encoded: Frames (B, D, T).
        length: Frames of each utterance (B,).
        prompts: What the decoder reads first.
        limits: Where it ends.
        beam_size: How many texts are followed.
        length_penalty: Exponent of the length that log-probabilities are divided by (Wu et al., 2016,
            arXiv:1609.08144); 0 for none, and more for longer texts.

    Returns:
        As :func:`~nemo_asr.decoding.aed_greedy.aed_greedy_search`.

    Raises:
        DataError: A prompt is longer than what the decoder can read.

    Example:
        >>> decoder = TransformerDecoder(10, hidden_size=16, num_layers=1, inner_size=32).eval()
        >>> limits = AEDLimits(end=2, padding=1, vocabulary_size=10, max_length=8)
        >>> frames, length = torch.randn(1, 16, 20), torch.tensor([20])
        >>> path, = aed_beam_search(decoder, TokenClassifier(16, 10).eval(), frames, length, [[3]], limits, beam_size=4)
        >>> len(path.tokens) <= 7
        True
    """
    most = most_tokens(decoder, length, prompts, limits).tolist()
    beam_size = min(beam_size, limits.vocabulary_size)
    paths = []
    for row, prompt in enumerate(prompts):
        if most[row] <= len(prompt):
            paths.append(TokenPath((), (), (), 0.0))
            continue
        search = _Search(decoder, classifier, limits, beam_size, length_penalty, len(prompt))
        frames = int(length[row])
        state = decoder.start(encoded[row : row + 1, :, :frames], length[row : row + 1])
        paths.append(search(torch.tensor([list(prompt)], device=encoded.device), state, most[row] - len(prompt)))
    return paths


class _Search:
    """The search for the text of one utterance."""

    def __init__(
        self,
        decoder: TransformerDecoder,
        classifier: TokenClassifier,
        limits: AEDLimits,
        beam_size: int,
        length_penalty: float,
        prompt_length: int,
    ) -> None:
        self.decoder = decoder
        self.classifier = classifier
        self.limits = limits
        self.beam_size = beam_size
        self.length_penalty = length_penalty
        self.prompt_length = prompt_length

    def __call__(self, prompt: Tensor, state: DecoderState, most: int) -> TokenPath:
        """Return the best text of at most ``most`` tokens after ``prompt`` (1, P)."""
        log_probs, state = self._read(prompt, state)
        score, token = log_probs[0].topk(self.beam_size)
        tokens = token.unsqueeze(1)
        state = state.select(torch.zeros_like(token))
        done = self._ends(token)
        while tokens.shape[1] < most and not bool(done.all()):
            log_probs, state = self._read(tokens[:, -1:], state)
            more, candidates = log_probs.topk(self.beam_size)
            # A text that has ended goes on in one way only, which costs nothing.
            more[done] = float("-inf")
            more[done, 0] = 0.0
            candidates[done] = self.limits.padding
            total = score.unsqueeze(1) + more
            rank = total / self._penalty(tokens).unsqueeze(1)
            best = rank.flatten().topk(self.beam_size).indices
            parent, token = best // self.beam_size, candidates.flatten()[best]
            score = total.flatten()[best]
            tokens = torch.cat((tokens[parent], token.unsqueeze(1)), dim=1)
            done = done[parent] | self._ends(token)
            state = state.select(parent)
        winner = int((score / self._penalty(tokens)).argmax())
        found = tokens[winner][: int(self._real(tokens)[winner])]
        return TokenPath(tuple(found.tolist()), (), (), float(score[winner]))

    def _read(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        hidden, state = self.decoder.step(tokens, state)
        return self.classifier(hidden=hidden[:, -1:])[:, 0, : self.limits.vocabulary_size], state

    def _ends(self, token: Tensor) -> Tensor:
        return (token == self.limits.end) | (token == self.limits.padding)

    def _real(self, tokens: Tensor) -> Tensor:
        """Return how many tokens each of ``tokens`` (K, U) has before its end (K,)."""
        return (~self._ends(tokens)).cumprod(dim=1).sum(dim=1)

    def _penalty(self, tokens: Tensor) -> Tensor:
        length = 1 + self.prompt_length + self._real(tokens)
        return ((5 + length) / 6) ** self.length_penalty
