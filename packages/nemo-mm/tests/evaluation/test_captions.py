"""CIDEr-D: what its definition says of captions that are right, wrong, too long and common."""

from __future__ import annotations

import pytest

from nemo_core.errors import DataError
from nemo_mm.evaluation.answers import score_answers
from nemo_mm.evaluation.captions import cider

REFERENCES = [
    ["a black cat sleeps on a red mat", "a cat is sleeping on the mat"],
    ["two brown dogs run over the green field", "dogs are running on grass outside today"],
    ["a man rides a bicycle down the street", "someone on a bicycle in a busy street"],
]


def test_the_only_reference_scores_ten() -> None:
    texts = [several[0] for several in REFERENCES]
    assert cider(texts, [[text] for text in texts])[1] == pytest.approx([10, 10, 10])


def test_case_and_punctuation_do_not_matter() -> None:
    texts = [several[0] for several in REFERENCES]
    assert cider([f"{text.capitalize()}." for text in texts], REFERENCES) == cider(texts, REFERENCES)


def test_words_of_every_picture_weigh_nothing() -> None:
    references = [["a photo of a dog"], ["a photo of a cat"]]
    _, (dog, _) = cider(["a photo of a", "a photo of a cat"], references)
    assert dog == 0


def test_repeating_a_word_does_not_help() -> None:
    once = cider(["black cat mat field", "x", "x"], REFERENCES)[1][0]
    often = cider(["cat cat cat cat cat cat cat cat cat cat cat cat cat cat", "x", "x"], REFERENCES)[1][0]
    assert often < once


def test_computed_by_hand() -> None:
    # Two pictures, one reference each; all words of each are in one picture: idf log 2 everywhere. The caption has one
    # of two words, none of the pairs: cosine 1 / sqrt(2) of single words, nothing else; of equal length.
    found = cider(["red house", "blue sky"], [["red car"], ["blue sky"]])[1]
    assert found[0] == pytest.approx(10 / 4 * 0.5)
    assert found[1] == pytest.approx(10 / 4 * 2)


def test_numbers_must_agree() -> None:
    with pytest.raises(DataError, match="1 captions"):
        cider(["a"], [])
    with pytest.raises(DataError, match="2 answers"):
        score_answers(["a", "b"], ["a"], ["k"])


def test_majority_is_counted_by_kind() -> None:
    scores = score_answers(["1", "2", "yes", "no"], ["1", "1", "yes", "yes"], ["count", "count", "is", "is"])
    assert (scores["count"].exact, scores["count"].majority) == (0.5, 1.0)
    assert (scores["all"].exact, scores["all"].majority) == (0.5, 1.0)
