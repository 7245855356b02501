from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_tts.text.english.numbers import cardinal, decimal, digits, number, ordinal, plural, year

SMALL = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen
"""
TEN, SCALE = "twenty thirty forty fifty sixty seventy eighty ninety", "thousand million billion trillion quadrillion"
ONES = {word: value for value, word in enumerate(SMALL.split())}
TENS = {word: 10 * value for value, word in enumerate(TEN.split(), start=2)}
SCALES = {word: 1000**value for value, word in enumerate(SCALE.split(), start=1)}


def value_of(words: str) -> int:
    total = group = 0
    for word in words.split():
        if word in SCALES:
            total, group = total + group * SCALES[word], 0
        elif word == "hundred":
            group *= 100
        else:
            group += (ONES | TENS)[word]
    return total + group


@given(st.integers(0, 10**18 - 1))
def test_words_say_the_number(value):
    assert value_of(cardinal(value)) == value
    assert cardinal(f"{value:,}") == cardinal(value)


@given(st.integers(1, 9999))
def test_ordinals_and_years_have_no_digits(value):
    for words in (ordinal(value), year(value), plural(cardinal(value))):
        assert words.replace(" ", "").isalpha()
    assert ordinal(value).split()[:-1] == cardinal(value).split()[:-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (ordinal(1), "first"),
        (ordinal(40), "fortieth"),
        (ordinal(1000), "one thousandth"),
        (decimal("3.05"), "three point zero five"),
        (decimal("7."), "seven"),
        (number("-2"), "minus two"),
        (digits("x1-0"), "one zero"),
        (year(2010), "twenty ten"),
        (year(1800), "eighteen hundred"),
        (year(1000), "one thousand"),
        (year(12345), "twelve thousand three hundred forty five"),
        (plural("penny"), "pennies"),
        (plural("key"), "keys"),
    ],
)
def test_words(words, expected):
    assert words == expected
