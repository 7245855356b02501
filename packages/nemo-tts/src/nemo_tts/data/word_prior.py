"""What is known of an alignment where it is known when each word is spoken."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nemo_tts.modules.alignment import beta_binomial_prior

__all__ = ["word_prior"]

#: Log-probability of a token in the frames of another word: small, and still a number to learn from.
_ELSEWHERE = -12.0


def word_prior(tokens: Sequence[int], space: int, words: Sequence[tuple[int, int]], frames: int) -> Tensor | None:
    """Return how probable each token is at each frame.

    Within a word it is the beta-binomial prior of its tokens and frames; blanks have what is between words.

    Args:
        tokens: Of the text; words are what is between blanks.
        space: Number of the blank.
        words: First frame of each word, and the one behind its last.
        frames: Of the utterance.

    Returns:
        Log-probabilities (M, T); None where the text has another number of words, or a word more tokens than frames.

    Example:
        >>> word_prior([0, 5, 6, 0], 0, [(1, 4)], 5).exp().round(decimals=2).tolist()[1:3]
        [[0.0, 0.75, 0.25, 0.0], [0.0, 0.5, 0.5, 0.0]]
    """
    groups: list[list[int]] = []
    for place, token in enumerate(tokens):
        if token != space:
            if place and tokens[place - 1] != space:
                groups[-1].append(place)
            else:
                groups.append([place])
    if len(groups) != len(words):
        return None
    if any(end - start < len(group) for group, (start, end) in zip(groups, words, strict=True)):
        return None
    prior = torch.full((frames, len(tokens)), _ELSEWHERE)
    for group, (start, end) in zip(groups, words, strict=True):
        count, length = torch.tensor([len(group)]), torch.tensor([end - start])
        prior[start:end, group[0] : group[-1] + 1] = beta_binomial_prior(count, length)[0].clamp(min=_ELSEWHERE)
    blanks = torch.tensor([token == space for token in tokens])
    # Which of the blanks it is follows from the words around it.
    edges = [0, *(frame for word in words for frame in word), frames]
    for number, (start, end) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
        before = groups[number - 1][-1] + 1 if number else 0
        after = groups[number][0] if number < len(groups) else len(tokens)
        prior[start:end, before:after].masked_fill_(blanks[before:after], 0.0)
    return prior
