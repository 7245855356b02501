from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from nemo_asr.decoding.punctuation import close_up, find_marks

MARKS = frozenset(",'?")


@given(pieces=st.lists(st.text("a ,'?\t", max_size=4)))
def test_one_space_before_a_mark_goes_wherever_it_is(pieces):
    closed = close_up(pieces, MARKS)
    assert len(closed) == len(pieces)
    assert "".join(closed) == re.sub(r"\s([,'?])", r"\1", "".join(pieces))


def test_marks_that_begin_a_word_or_are_no_text_do_not_count():
    assert find_marks([*"ab '", "▁¿", "##-", "[UNK]", "<|en|>", "。"]) == {"'", "。"}
    assert close_up([" ", "'"], find_marks("ab ")) == [" ", "'"]
