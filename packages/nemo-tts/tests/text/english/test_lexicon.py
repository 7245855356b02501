from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_core.errors import DataError
from nemo_tts.text.english.lexicon import Lexicon, pack, read_cmudict
from nemo_tts.text.english.phones import SYMBOLS

WORDS = st.text(alphabet="abc'.-", min_size=1, max_size=4)
SOUNDS = st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=4)


@given(st.lists(st.tuples(WORDS, SOUNDS), max_size=20), WORDS)
def test_a_word_is_found_where_it_lies(entries, other):
    lexicon = Lexicon.of(entries)
    expected: dict[str, list[tuple[str, ...]]] = {}
    for word, phones in entries:
        spoken = expected.setdefault(word, [])
        if tuple(phones) not in spoken:
            spoken.append(tuple(phones))
    assert dict(lexicon.items()) == expected
    assert len(lexicon) == len(expected)
    assert all(lexicon.lookup(word) == spoken for word, spoken in expected.items())
    assert (other in lexicon) == (other in expected)


def test_cmudict_is_all_there(dictionaries):
    words: dict[str, list[tuple[str, ...]]] = {}
    for word, phones in read_cmudict(dictionaries / "cmudict" / "cmudict.dict"):
        words.setdefault(word, []).append(tuple(phones))
    shipped = dict(Lexicon.shipped().items())
    assert shipped.keys() == words.keys()
    assert all(shipped[word] == list(dict.fromkeys(spoken)) for word, spoken in words.items())


def test_words_of_cmudict():
    lexicon = Lexicon.shipped()
    assert lexicon.lookup("Zebra") == [("Z", "IY1", "B", "R", "AH0")]
    assert "aardvark" in lexicon
    assert lexicon.lookup("") == lexicon.lookup("é") == lexicon.lookup("zzzzz") == lexicon.lookup("!") == []
    assert 1 not in lexicon


@pytest.mark.parametrize(
    ("entry", "said"),
    [(("a b", ["AH0"]), "blanks"), (("é", ["AH0"]), "ASCII"), (("a", ["AH"]), "'AH'"), (("a", []), "nothing")],
)
def test_bad_entries_are_named(entry, said):
    with pytest.raises(DataError, match=said):
        pack([entry])


def test_files(tmp_path):
    path = tmp_path / "words.dict"
    path.write_text(";;; comment\nNEMO  N IY1 M OW0 # fish\nnemo(2) N EH1 M OW0\n\n", encoding="utf-8")
    assert list(read_cmudict(path)) == [("nemo", ["N", "IY1", "M", "OW0"]), ("nemo", ["N", "EH1", "M", "OW0"])]
    path.write_text("good G UH1 D\nbad\n")
    with pytest.raises(DataError, match="line 2: 'bad'"):
        list(read_cmudict(path))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_cmudict(tmp_path / "none"))
    with pytest.raises(DataError, match="no packed dictionary"):
        Lexicon(b"nonsense")
