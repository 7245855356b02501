"""Answers beside those that were expected: how many are exactly right, by kind of question, and what guessing gives."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nemo_core.errors import DataError

__all__ = ["Asked", "Score", "normalised", "score_answers"]


@dataclass(frozen=True)
class Asked:
    """A question about pictures whose answer is known.

    Attributes:
        kind: What kind of question it is.
        question: Its text.
        images: The pictures.
        answer: The right answer.
    """

    kind: str
    question: str
    images: Sequence[Any]
    answer: str


@dataclass(frozen=True)
class Score:
    """Of the questions of one kind.

    Attributes:
        questions: How many there are.
        exact: Part of them that was answered exactly.
        majority: Part of them that the most frequent answer is right for: what one who does not look gets.
    """

    questions: int
    exact: float
    majority: float


def score_answers(answers: Sequence[str], expected: Sequence[str], kinds: Sequence[str]) -> dict[str, Score]:
    """Return the score of each kind of question, and of ``all``.

    The majority is counted within each kind; of all questions it is the sum over the kinds.

    Args:
        answers: What was answered.
        expected: What is right.
        kinds: Of the questions.

    Raises:
        DataError: They are not as many.

    Example:
        >>> score_answers(["two", "No."], ["two", "yes"], ["count", "is there"])["all"]
        Score(questions=2, exact=0.5, majority=1.0)
    """
    if not len(answers) == len(expected) == len(kinds):
        raise DataError(f"{len(answers)} answers, {len(expected)} right ones and {len(kinds)} kinds")
    found: dict[str, Score] = {}
    right = best = 0
    for kind in dict.fromkeys(kinds):
        places = [place for place, each in enumerate(kinds) if each == kind]
        hits = sum(normalised(answers[place]) == normalised(expected[place]) for place in places)
        most = Counter(normalised(expected[place]) for place in places).most_common(1)[0][1]
        found[kind] = Score(len(places), hits / len(places), most / len(places))
        right, best = right + hits, best + most
    if kinds:
        found["all"] = Score(len(kinds), right / len(kinds), best / len(kinds))
    return found


def normalised(answer: str) -> str:
    """Return an answer without case, articles and punctuation, as scores of VQA compare them (Antol et al., 2015).

    >>> normalised(" The red one. ")
    'red one'
    """
    text = re.sub(r"[^\w\s']", " ", answer.lower())
    return " ".join(word for word in text.split() if word not in ("a", "an", "the"))
