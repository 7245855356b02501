"""CIDEr-D: how much captions say what people's say (Vedantam et al., 2015, arXiv:1411.5726)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nemo_core.errors import DataError

__all__ = ["CaptionScore", "Captioned", "cider", "score_captions"]

_LONGEST = 4  # words of an n-gram
_SIGMA = 6.0  # of the penalty on another length, words
_CANDIDATES = 64  # captions among which the one for all pictures is looked for


@dataclass(frozen=True)
class Captioned:
    """Pictures whose captions by people are known.

    Attributes:
        prompt: What to ask for.
        images: The pictures.
        references: People's captions of each.
    """

    prompt: str
    images: Sequence[Any]
    references: Sequence[Sequence[str]]


@dataclass(frozen=True)
class CaptionScore:
    """How good captions are, and what that is to be seen beside.

    Attributes:
        cider: CIDEr-D of the captions.
        same: CIDEr-D of the one caption that fits all pictures best: what one who does not look gets.
        people: CIDEr-D of one caption of each picture against the others of it; None where a picture has but one.
        each: CIDEr-D of the caption of each picture.
    """

    cider: float
    same: float
    people: float | None
    each: Sequence[float]


def score_captions(captions: Sequence[str], references: Sequence[Sequence[str]]) -> CaptionScore:
    """Return how good captions are, beside what the same caption for all would get, and people.

    Args:
        captions: One for each picture.
        references: People's captions of each picture.

    Raises:
        DataError: As of :func:`cider`.

    Example:
        >>> references = [["a cat on a mat", "the cat sits on a mat"], ["two dogs run home", "two dogs go home"]]
        >>> found = score_captions(["a cat on a mat", "dogs run home"], references)
        >>> found.cider > found.same, round(found.people, 1)
        (True, 3.0)
    """
    total, each = cider(captions, references)
    firsts = [several[0] for several in references]
    # Chosen with the answers at hand, so nobody who does not look gets more.
    candidates = list(dict.fromkeys([*captions, *firsts]))[:_CANDIDATES]
    same = max(cider([one] * len(references), references)[0] for one in candidates)
    people = None
    if all(len(several) > 1 for several in references):
        people = cider(firsts, [several[1:] for several in references])[0]
    return CaptionScore(total, same, people, each)


Vector = dict[tuple[str, ...], float]


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, list[float]]:
    """Return CIDEr-D of captions, and that of each.

    Each n-gram weighs as much as it is rare among the pictures' references (tf-idf). Captions are compared with each
    reference by the cosine of these weights, of which a caption gets no more than the reference has, times a penalty on
    another length; the mean over references and n from 1 to 4, times 10. Words are compared in lower case, without
    punctuation.

    Args:
        captions: One for each picture.
        references: People's captions of each picture, at least one.

    Raises:
        DataError: They are not as many, or a picture has no reference.

    Example:
        >>> references = [["a cat on a mat", "the cat sits on a mat"], ["two dogs run home"]]
        >>> total, each = cider(["a cat on a mat", "two dogs run home"], references)
        >>> round(each[1], 6), cider(["two dogs run home", "a cat on a mat"], references)[0]
        (10.0, 0.0)
    """
    if len(captions) != len(references) or not all(references):
        raise DataError(f"{len(captions)} captions and references of {len(references)} pictures, at least one for each")
    if not captions:
        raise DataError("there are no captions to score")
    counted = [[_grams(_words(text)) for text in several] for several in references]
    seen = Counter(gram for several in counted for gram in set().union(*several))
    rarity = {gram: math.log(len(references) / count) for gram, count in seen.items()}
    most = math.log(len(references))  # of what no reference has
    scores = []
    for caption, several in zip(captions, counted, strict=True):
        own = _grams(_words(caption))
        scores.append(sum(_likeness(own, other, rarity, most) for other in several) / len(several))
    return sum(scores) / len(scores), scores


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _grams(words: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(
        tuple(words[start : start + size]) for size in range(1, _LONGEST + 1) for start in range(len(words) - size + 1)
    )


def _likeness(own: Counter[tuple[str, ...]], other: Counter[tuple[str, ...]], rarity: Vector, most: float) -> float:
    lengths = [sum(count for gram, count in grams.items() if len(gram) == 1) for grams in (own, other)]
    penalty = math.exp(-((lengths[0] - lengths[1]) ** 2) / (2 * _SIGMA**2))
    total = 0.0
    for size in range(1, _LONGEST + 1):
        mine = {gram: count * rarity.get(gram, most) for gram, count in own.items() if len(gram) == size}
        theirs = {gram: count * rarity.get(gram, most) for gram, count in other.items() if len(gram) == size}
        norms = [math.sqrt(sum(value**2 for value in vector.values())) for vector in (mine, theirs)]
        if norms[0] and norms[1]:
            product = sum(min(value, theirs[gram]) * theirs[gram] for gram, value in mine.items() if gram in theirs)
            total += penalty * product / (norms[0] * norms[1])
    return 10.0 * total / _LONGEST
