"""Learning which reading of a character fits: from sentences with one marked character each to a model."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nemo_core.errors import DataError
from nemo_tts.text.mandarin.polyphones import PolyphoneModel, context_features
from nemo_tts.text.mandarin.words import Word, split_words

__all__ = ["MarkedSentence", "marked_word", "read_marked", "train"]

_MARK = "▁"


@dataclass(frozen=True)
class MarkedSentence:
    """A sentence and the reading of one of its characters.

    Attributes:
        text: The sentence.
        place: Where the character stands.
        reading: Pinyin with a digit for the tone, ``lv4`` for *lǜ*.
    """

    text: str
    place: int
    reading: str

    @property
    def character(self) -> str:
        """The character that is meant."""
        return self.text[self.place]


def read_marked(sentences: str | Path, readings: str | Path) -> Iterator[MarkedSentence]:
    """Go through sentences in the format of g2pM's data (Park and Lee, 2020, arXiv:2004.03136).

    Args:
        sentences: A sentence a line, with ``▁`` before and after the character.
        readings: Its reading a line: ``lu:4`` for *lǜ*.

    Raises:
        DataError: A file cannot be read, or they do not fit.
    """
    try:
        lines = [Path(path).read_text(encoding="utf-8").splitlines() for path in (sentences, readings)]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{sentences} or {readings} cannot be read: {error}") from None
    if len(lines[0]) != len(lines[1]):
        raise DataError(f"{sentences} has {len(lines[0])} lines, but {readings} {len(lines[1])}")
    for number, (line, reading) in enumerate(zip(*lines, strict=True), start=1):
        before, mark, rest = line.strip().partition(_MARK)
        character, second, after = rest.partition(_MARK)
        if not mark or not second or len(character) != 1:
            raise DataError(f"{sentences}, line {number}: one character must stand between two {_MARK}")
        yield MarkedSentence(before + character + after, len(before), reading.strip().replace("u:", "v"))


def marked_word(sentence: MarkedSentence) -> tuple[Word, int]:
    """Return the word that the marked character is in, and where in it that stands."""
    for word in split_words(sentence.text):
        if 0 <= sentence.place - word.start < len(word.text):
            return word, sentence.place - word.start
    raise DataError(f"no character at {sentence.place} of {sentence.text!r}")


def train(
    sentences: Sequence[MarkedSentence], rounds: int = 8, rate: float = 0.5, decay: float = 0.01, seed: int = 0
) -> PolyphoneModel:
    """Return a model of ``sentences``: logistic regression by stochastic gradients with AdaGrad's steps.

    Args:
        sentences: What to learn from.
        rounds: How often each is seen.
        rate: Length of a step.
        decay: How strongly weights are drawn to where they began.
        seed: Another gives another order.
    """
    readings: dict[str, set[str]] = defaultdict(set)
    examples: dict[str, list[tuple[list[str], str]]] = defaultdict(list)
    for sentence in sentences:
        readings[sentence.character].add(sentence.reading)
        features = context_features(sentence.text, *marked_word(sentence))
        examples[sentence.character].append((features, sentence.reading))
    ordered = {character: sorted(each) for character, each in readings.items()}
    weights = {
        character: _fit(ordered[character], examples[character], rounds, rate, decay, random.Random(seed))
        for character in sorted(ordered)
    }
    return PolyphoneModel(ordered, weights)


# Before anything is learned, the dictionary is right: of a character, and more so of a word that is made of known
# characters, of a phrase that it has, of a phrase that its words make. Chosen by cross-validation on g2pM's development
# sentences.
_TRUST = {"r": 1.0, "m": 1.0, "k": 4.0, "j": 4.0}


def _fit(
    readings: Sequence[str],
    examples: Sequence[tuple[list[str], str]],
    rounds: int,
    rate: float,
    decay: float,
    generator: random.Random,
) -> dict[str, list[float]]:
    weights = {feature: [0.0] * len(readings) for features, _ in examples for feature in features}
    for kind, trust in _TRUST.items():
        weights |= {f"{kind}={reading}": [trust * (other == reading) for other in readings] for reading in readings}
    start = {feature: list(row) for feature, row in weights.items()}
    squares = {feature: [1e-8] * len(readings) for feature in weights}
    order = list(range(len(examples)))
    for _ in range(rounds):
        generator.shuffle(order)
        for number in order:
            features, reading = examples[number]
            scores = [sum(weights[feature][index] for feature in features) for index in range(len(readings))]
            top = max(scores)
            exponentials = [math.exp(score - top) for score in scores]
            total = sum(exponentials)
            for index, exponential in enumerate(exponentials):
                error = exponential / total - (readings[index] == reading)
                for feature in features:
                    gradient = error + decay * (weights[feature][index] - start[feature][index])
                    squares[feature][index] += gradient * gradient
                    weights[feature][index] -= rate * gradient / math.sqrt(squares[feature][index])
    return weights
