"""Learning the vocabulary of a WordPiece tokenizer."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

from nemo_asr.tokenizers.word_piece import SPECIAL_TOKENS, split_words
from nemo_core.errors import ConfigError

__all__ = ["train_word_piece"]


def train_word_piece(
    texts: Iterable[str], *, vocab_size: int, lowercase: bool = False, min_frequency: int = 2
) -> list[str]:
    """Learn the tokens of a WordPiece tokenizer; the same texts give the same ones.

    From single characters on, the pair of neighbours that occurs most often in words becomes a token, as in byte-pair
    encoding (Sennrich et al., 2016, arXiv:1508.07909), until there are enough. (Hugging Face's ``tokenizers``, which
    NVIDIA NeMo uses, learns so too.)

    Args:
        texts: What to learn from.
        vocab_size: Number of tokens at most, with the five special ones; fewer if no more pairs occur often enough.
        lowercase: Whether texts are lowercased first, and lose their accents.
        min_frequency: How often a pair must occur to become a token.

    Raises:
        ConfigError: There are no texts, or too many characters for so few tokens.

    Example:
        >>> train_word_piece(["abab abab ab"], vocab_size=10)[5:]
        ['##a', '##b', 'a', 'ab', '##ab']
    """
    counts = Counter(word for text in texts for word in split_words(text, lowercase))
    if not counts:
        raise ConfigError("tokenizer: there are no texts to learn from")
    words = [[word[0], *(f"##{character}" for character in word[1:])] for word in counts]
    weights = list(counts.values())
    alphabet = sorted({symbol for word in words for symbol in word})
    tokens = dict.fromkeys([*SPECIAL_TOKENS, *alphabet])
    if len(tokens) > vocab_size:
        raise ConfigError(
            f"tokenizer: {vocab_size} tokens are too few for the characters of the texts",
            hint=f"set vocab_size to {len(tokens)} or more",
        )

    frequency: Counter[tuple[str, str]] = Counter()
    places: defaultdict[tuple[str, str], set[int]] = defaultdict(set)  # the words that a pair is in, or was
    for place, (word, weight) in enumerate(zip(words, weights, strict=True)):
        for pair in pairwise(word):
            frequency[pair] += weight
            places[pair].add(place)
    queue = [(-count, pair) for pair, count in frequency.items()]
    heapq.heapify(queue)
    while queue and len(tokens) < vocab_size:
        count, pair = heapq.heappop(queue)
        if -count != frequency[pair]:
            continue  # out of date; where it occurs still, it stands further on
        if -count < min_frequency:
            break
        merged = pair[0] + pair[1].removeprefix("##")
        tokens[merged] = None
        changed: set[tuple[str, str]] = set()
        for place in places.pop(pair):
            before, after = words[place], _merged(words[place], pair, merged)
            words[place] = after
            for old in pairwise(before):
                frequency[old] -= weights[place]
            for new in pairwise(after):
                frequency[new] += weights[place]
                places[new].add(place)
            changed.update(pairwise(before), pairwise(after))
        for other in changed:
            if frequency[other] > 0:
                heapq.heappush(queue, (-frequency[other], other))
    return list(tokens)


def _merged(word: list[str], pair: tuple[str, str], merged: str) -> list[str]:
    result: list[str] = []
    place = 0
    while place < len(word):
        joins = tuple(word[place : place + 2]) == pair
        result.append(merged if joins else word[place])
        place += 2 if joins else 1
    return result
