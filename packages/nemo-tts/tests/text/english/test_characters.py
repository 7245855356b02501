from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_tts.text.english.characters import clean, fold_accents, tidy


@pytest.mark.parametrize(
    ("text", "folded"),
    [("Ærø", "AEro"), ("naïve", "naive"), ("straße", "strasse"), ("が", "が"), ("plain", "plain"), ("ǖ", "u")],
)
def test_accents(text, folded):
    assert fold_accents(text) == folded


@given(st.text(max_size=30))
def test_what_is_clean_stays_clean(text):
    once, _ = clean(text)
    again, dropped = clean(once)
    assert (again, dropped) == (once, [])


@given(st.text(max_size=30))
def test_blanks_are_tidy(text):
    once = tidy(text)
    assert tidy(once) == once
    assert "  " not in once


def test_signs_before_compatibility_forms():
    assert clean("x² 3½ 20℃ №5 ™")[0] == "x squared 3 1/2 20°C number 5 ™"
