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

__all__ = ["MarkedSentence", "dictionary_reading", "features_of", "read_marked", "train"]

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


def dictionary_reading(word: Word, offset: int) -> str:
    """Return what pypinyin makes of the character at ``offset`` of ``word``."""
    return word.readings[offset]


def features_of(sentence: MarkedSentence) -> list[str]:
    """Return the features of the marked character."""
    for word in split_words(sentence.text):
        offset = sentence.place - word.start
        if 0 <= offset < len(word.text):
            usual = dictionary_reading(word, offset)
            return context_features(sentence.text, sentence.place, word.text, offset, word.tag, usual)
    raise DataError(f"no character at {sentence.place} of {sentence.text!r}")


def train(
    sentences: Sequence[MarkedSentence], rounds: int = 8, rate: float = 0.5, decay: float = 0.01, seed: int = 0
) -> PolyphoneModel:
    """Return a model of ``sentences``: logistic regression by stochastic gradients with AdaGrad's steps.

    Args:
        sentences: What to learn from.
        rounds: How often each is seen.
        rate: Length of a step.
        decay: How strongly weights are drawn to zero.
        seed: Another gives another order.
    """
    readings: dict[str, set[str]] = defaultdict(set)
    examples: dict[str, list[tuple[list[str], str]]] = defaultdict(list)
    for sentence in sentences:
        readings[sentence.character].add(sentence.reading)
        examples[sentence.character].append((features_of(sentence), sentence.reading))
    ordered = {character: sorted(each) for character, each in readings.items()}
    weights = {
        character: _fit(ordered[character], examples[character], rounds, rate, decay, random.Random(seed))
        for character in sorted(ordered)
    }
    return PolyphoneModel(ordered, weights)


# Before anything is learned, the dictionary is right.
_TRUST = 1.0


def _fit(
    readings: Sequence[str],
    examples: Sequence[tuple[list[str], str]],
    rounds: int,
    rate: float,
    decay: float,
    generator: random.Random,
) -> dict[str, list[float]]:
    weights = {
        feature: [_TRUST * (feature == f"r={reading}") for reading in readings]
        for features, _ in examples
        for feature in features
    }
    weights |= {f"r={reading}": [_TRUST * (other == reading) for other in readings] for reading in readings}
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
                    gradient = error + decay * weights[feature][index]
                    squares[feature][index] += gradient * gradient
                    weights[feature][index] -= rate * gradient / math.sqrt(squares[feature][index])
    return weights
