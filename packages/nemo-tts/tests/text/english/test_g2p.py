"""English sounds: dictionary, context, parts of words, letters."""

from __future__ import annotations

import pickle
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.config import Trust, instantiate
from nemo_core.errors import ConfigError, DataError
from nemo_tts.text import EnglishG2p, G2p
from nemo_tts.text.english.heteronyms import heteronyms, pronounce_heteronym
from nemo_tts.text.english.phones import SYMBOLS, to_ipa

G2P = EnglishG2p()


def said(text: str) -> str:
    return " ".join("".join(symbol if symbol != " " else "_" for symbol in [each]) for each in G2P(text))


@pytest.mark.parametrize(
    ("sentence", "word", "phones"),
    [
        ("I read a book", "read", "R IY1 D"),
        ("I have read it", "read", "R EH1 D"),
        ("I have already read it", "read", "R EH1 D"),
        ("he read it", "read", "R EH1 D"),
        ("to read it", "read", "R IY1 D"),
        ("the record", "record", "R EH1 K ER0 D"),
        ("to record", "record", "R IH0 K AO1 R D"),
        ("Record the meeting", "Record", "R IH0 K AO1 R D"),
        ("a new record", "record", "R EH1 K ER0 D"),
        ("she records", "records", "R IH0 K AO1 R D Z"),
        ("the records", "records", "R EH1 K ER0 D Z"),
        ("it was recorded", "recorded", "R IH0 K AO1 R D IH0 D"),
        ("recording", "recording", "R IH0 K AO1 R D IH0 NG"),
        ("live music", "live", "L AY1 V"),
        ("we live here", "live", "L IH1 V"),
        ("their lives", "lives", "L AY1 V Z"),
        ("she lives", "lives", "L IH1 V Z"),
        ("close the door", "close", "K L OW1 Z"),
        ("very close", "close", "K L OW1 S"),
        ("close to us", "close", "K L OW1 S"),
        ("use it", "use", "Y UW1 Z"),
        ("no use", "use", "Y UW1 S"),
        ("we used to go", "used", "Y UW1 S T"),
        ("lead pipe", "lead", "L EH1 D"),
        ("lead us", "lead", "L IY1 D"),
        ("the wind", "wind", "W IH1 N D"),
        ("to wind", "wind", "W AY1 N D"),
        ("a present", "present", "P R EH1 Z AH0 N T"),
        ("we present", "present", "P R IY0 Z EH1 N T"),
        ("polish it", "polish", "P AA1 L IH0 SH"),
        ("the Polish people", "Polish", "P OW1 L IH0 SH"),
        ("a minute", "minute", "M IH1 N AH0 T"),
        ("minute details", "minute", "M AY0 N UW1 T"),
    ],
)
def test_heteronyms_are_told_apart_by_their_neighbours(sentence, word, phones):
    words = sentence.split()
    assert " ".join(pronounce_heteronym(words, words.index(word)) or ()) == phones


def test_all_readings_are_sounds():
    contexts = [["{}"], ["to", "{}"], ["the", "{}"], ["have", "{}"], ["is", "{}"], ["the", "{}s"], ["was", "{}ed"]]
    for spelling in heteronyms():
        for context in contexts:
            words = [part.format(spelling) for part in context]
            phones = pronounce_heteronym(words, len(words) - 1)
            assert phones is None or set(phones) <= set(SYMBOLS), spelling
        assert pronounce_heteronym([spelling], 0) is not None


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("Hello, world!", "HH AH0 L OW1 , _ W ER1 L D !"),
        ("vlogging", "V L AA1 G IH0 NG"),
        ("unfollowed", "AH0 N F AA1 L OW0 D"),
        ("zebra's", "Z IY1 B R AH0 Z"),
        ("don't", "D OW1 N T"),
        ("'bout", "B AW1 T"),
        ("'hello'", "' HH AH0 L OW1 '"),
        ("well-known", "W EH1 L - N OW1 N"),
        ("the apple", "DH IY0 _ AE1 P AH0 L"),
        ("the user", "DH AH0 _ Y UW1 Z ER0"),
        ("the U S A", "DH AH0 _ Y UW1 _ EH1 S _ EY1"),
        ("A dog", "AH0 _ D AO1 G"),
        ("vitamin A", "V AY1 T AH0 M AH0 N _ EY1"),
        ("say |T AH0 M AA1 T OW2|", "S EY1 _ T AH0 M AA1 T OW2"),
        ("café", "K AH0 F EY1"),
        ("XQJ", "EH1 K S K Y UW1 JH EY1"),
        ("", ""),
        ("?!", "? !"),
        ("5 日 🙂", "5 _ 日 _ 🙂"),
    ],
)
def test_sounds_of_texts(text, phones):
    assert said(text) == phones


def test_ipa():
    g2p = EnglishG2p("ipa")
    assert "".join(g2p("Hello, world!")) == "həlˈoʊ, wˈɝld!"
    assert set(g2p("the quick brown fox jumps over a lazy dog")) <= {*g2p.symbols, " "}
    with pytest.raises(DataError, match="'QQ'"):
        to_ipa(["QQ"])


def test_without_a_generator_all_words_become_sounds():
    g2p = EnglishG2p(phoneme_probability=0.5)
    text = "one two three four five six seven eight"
    assert g2p(text) == EnglishG2p()(text)
    mixed = g2p(text, Random(1))
    assert mixed == g2p(text, Random(1))
    assert any(symbol in "abcdefghijklmnopqrstuvwxyz" for symbol in mixed)
    assert any(symbol in SYMBOLS for symbol in mixed)
    assert "".join(EnglishG2p(phoneme_probability=0.0)("Hello you", Random(0))) == "hello you"
    assert "".join(EnglishG2p(phoneme_probability=0.0, lowercase_letters=False)("Hello", Random(0))) == "Hello"
    assert EnglishG2p(phoneme_probability=1.0)(text, Random(0)) == g2p(text)
    counted = [symbol.islower() for _ in range(50) for symbol in g2p("a", Random(_))]
    assert 10 < sum(counted) < 40


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz'", min_size=1, max_size=12))
def test_any_letters_have_sounds(word):
    symbols = [symbol for symbol in G2P(word) if symbol != "'"]
    assert set(symbols) <= set(SYMBOLS)
    assert symbols or not word.strip("'")


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=20).filter(lambda text: "|" not in text))
def test_any_text_can_be_read(text):
    assert isinstance(G2P(text), list)


def test_long_texts():
    text = "Records show that he read the records to the reader. " * 190
    assert len(G2P(text)) > 5000


def test_a_dictionary_of_ones_own(tmp_path):
    path = tmp_path / "words.dict"
    path.write_text("nemo N IY1 M OW0\n")
    g2p = EnglishG2p(phoneme_dict=path)
    assert g2p("nemo") == ["N", "IY1", "M", "OW0"]
    assert g2p.artifacts() == {"phoneme_dict": path.read_bytes()}
    with pytest.raises(ConfigError, match="cannot be read"):
        EnglishG2p(phoneme_dict=tmp_path / "none")


@pytest.mark.parametrize(
    ("options", "named"),
    [({"notation": "sampa"}, "'sampa'"), ({"phoneme_probability": 1.5}, "1.5"), ({"phoneme_probability": -1}, "-1")],
)
def test_nonsense_is_refused(options, named):
    with pytest.raises(ConfigError, match=named):
        EnglishG2p(**options)


def test_sounds_between_bars_must_be_sounds():
    with pytest.raises(DataError, match="'QQ'"):
        G2P("|QQ|")


def test_it_travels_and_is_rebuilt():
    assert isinstance(G2P, G2p)
    g2p = EnglishG2p("ipa", phoneme_probability=0.5)
    assert pickle.loads(pickle.dumps(g2p))("hello") == g2p("hello")
    config = g2p.to_config()
    assert config == {"_target_": "tts.EnglishG2p", "notation": "ipa", "phoneme_probability": 0.5}
    assert instantiate(config, trust=Trust.archive())("hello") == g2p("hello")
    assert len(pickle.dumps(G2P)) < 10_000  # the dictionary does not travel with it
