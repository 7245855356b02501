"""Cutting texts into sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_tts.synthesis import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        (
            "Dr. Lee met Mr. Smith at 5 p.m. on Monday. They spoke.",
            ["Dr. Lee met Mr. Smith at 5 p.m. on Monday.", "They spoke."],
        ),
        ("It costs $3.50. Really.", ["It costs $3.50.", "Really."]),
        ('"Stop!" he said. "Now."', ['"Stop!" he said.', '"Now."']),
        ("J. R. R. Tolkien wrote it.", ["J. R. R. Tolkien wrote it."]),
        ("今天天气很好。我们去公园吧！好吗？", ["今天天气很好。", "我们去公园吧！", "好吗？"]),
        ("A title\nA line\n\nAnother", ["A title", "A line", "Another"]),
        ("", []),
        ("  \n ", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def test_what_is_too_long_is_cut_where_it_can_be() -> None:
    clauses = "in the beginning, there was a word; and after it came another, and so on"
    assert split_sentences(clauses, 40) == [
        "in the beginning, there was a word;",
        "and after it came another, and so on",
    ]
    assert max(map(len, split_sentences("word " * 500, 50))) <= 50
    assert split_sentences("x" * 95, 30) == ["x" * 30, "x" * 30, "x" * 30, "x" * 5]


@given(st.text(max_size=200), st.integers(5, 60))
def test_nothing_is_lost(text: str, longest: int) -> None:
    found = split_sentences(text, longest)
    assert (
        "".join("".join(found).split()) == "".join("".join(text.split()).split())
        or "-" in text
        or "–" in text
        or "—" in text
    )
    assert all(len(each) <= longest for each in found)
