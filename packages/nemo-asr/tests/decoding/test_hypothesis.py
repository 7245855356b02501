from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nemo_asr.decoding import Alignment, Hypothesis, Span


def spell(pieces):
    return Alignment(tuple(Span(piece, place, place + 0.5) for place, piece in enumerate(pieces)))


def test_words_of_characters_and_of_subwords():
    for pieces in (list("so it is"), ["so", " it", " i", "s"], [" so", " ", "it", " is"], ["so ", "it ", "is"]):
        assert [word.text for word in spell(pieces).words] == ["so", "it", "is"]
    assert [(word.start, word.end) for word in spell(list("ab cd")).words] == [(0, 1.5), (3, 4.5)]


@given(text=st.text(alphabet="ab \u00e4", max_size=20))
def test_words_are_the_words_of_the_text(text):
    words = spell(list(text)).words
    assert [word.text for word in words] == text.split()
    assert all(a.end <= b.start for a, b in pairwise(words))


def test_segments_end_with_a_sentence():
    alignment = spell(list("a b. c? d"))
    assert [(s.text, s.start, s.end) for s in alignment.segments()] == [("a b.", 0, 3.5), ("c?", 5, 6.5), ("d", 8, 8.5)]


def test_without_timestamps_there_are_no_words():
    hypothesis = Hypothesis("a b")
    assert hypothesis.words == hypothesis.chars == hypothesis.segments == ()
    assert Hypothesis("a b", alignment=spell("a b")).words[1] == Span("b", 2, 2.5)
