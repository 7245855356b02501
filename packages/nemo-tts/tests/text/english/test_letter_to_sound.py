"""The model of letters and sounds: learned here from a made-up language, kept in a file, and the one that ships."""

from __future__ import annotations

import lzma
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_core.errors import DataError
from nemo_tts.text.english.letter_to_sound import LetterToSound
from nemo_tts.text.english.letter_to_sound_training import align, edit_distance, evaluate, split, train
from nemo_tts.text.english.phones import SYMBOLS

# A language whose letters sound one way each, but c before e and i, x, and a silent h.
SOUNDS = {"a": ["AA1"], "b": ["B"], "e": ["EH0"], "i": ["IH0"], "t": ["T"], "x": ["K", "S"], "h": []}


def spoken(word: str) -> list[str]:
    phones: list[str] = []
    for letter, following in zip(word, word[1:] + " ", strict=True):
        phones += ["S" if following in "ei" else "K"] if letter == "c" else SOUNDS[letter]
    return phones


WORDS = sorted(
    {
        "".join("abceitxh"[(number * step + shift) % 8] for shift in range(1, 6)) + "a"
        for number in range(40)
        for step in (1, 3, 5)
    }
    | {a + b + "a" + c for a in "bctxh" for b in "aei" for c in "bctxh"}
)


@pytest.fixture(scope="module")
def model():
    return train({word: [spoken(word)] for word in WORDS}, order=4, size=5000)


def test_it_reads_words_that_it_has_not_seen(model):
    unseen = [a + b + c + "a" for a in "bctx" for b in "aei" for c in "bctx" if a + b + c + "a" not in WORDS]
    assert len(unseen) > 20
    rates = evaluate(model, {word: [spoken(word)] for word in unseen})
    assert rates.words == len(unseen)
    assert rates.word_errors < 0.25
    assert rates.phone_errors <= rates.word_errors


def test_each_letter_is_aligned_with_its_sounds():
    aligned = align([(word, spoken(word)) for word in WORDS])
    assert all("".join(letter for letter, _ in path) == word for path, word in zip(aligned, WORDS, strict=True))
    assert all(
        [phone for _, phones in path for phone in phones] == spoken(word)
        for path, word in zip(aligned, WORDS, strict=True)
    )
    right = sum(phones == tuple(SOUNDS.get(letter, phones)) for path in aligned for letter, phones in path)
    assert right / sum(map(len, WORDS)) > 0.95
    assert align([("a", ["K"] * 3)]) == []


def test_probabilities_sum_to_one(model):
    characters = [model.character(number) for number in range(len(model.graphones))] + ["\x02"]
    contexts = {ngram[:-1] for ngram in model._probabilities if len(ngram) > 1}
    for context in sorted(contexts)[::25]:
        total = sum(math.exp(model._score(context, character)) for character in characters)
        assert total == pytest.approx(1.0, abs=0.02)


def test_a_file_keeps_it(model, tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(model.to_bytes())
    again = LetterToSound.load(path)
    assert again.graphones == model.graphones
    assert [again.pronounce(word) for word in WORDS[:30]] == [model.pronounce(word) for word in WORDS[:30]]
    assert again.to_bytes() == model.to_bytes()


def test_small_models_know_less_but_still_read(model):
    small = train({word: [spoken(word)] for word in WORDS}, order=4, size=100)
    assert len(small.to_bytes()) < len(model.to_bytes())
    assert small.pronounce("bata")


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"nemo letter-to-sound 1\n", b"nemo letter-to-sound 1\n" + lzma.compress(b"[1]\n{}")]
)
def test_damaged_files_are_refused(content, tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"model\.bin.*no model"):
        LetterToSound.load(path)
    with pytest.raises(DataError, match="cannot be read"):
        LetterToSound.load(tmp_path / "none")


def test_the_shipped_model_reads_english():
    model = LetterToSound.shipped()
    assert model.pronounce("brilling") == ["B", "R", "IH1", "L", "IH0", "NG"]
    assert model.pronounce("Phlixt")[0] == "F"
    for word in ("q", "zzzzzzzzzz", "a" * 60):
        assert set(model.pronounce(word)) <= set(SYMBOLS)
    for word in ("", "naïve", "a b", "x1"):
        with pytest.raises(DataError, match="letters a to z"):
            model.pronounce(word)


def test_words_stay_in_their_part_of_a_split():
    words = {
        f"w{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10 % 10]}{'abcdefghij'[n // 100]}": [["AH0"]] for n in range(1000)
    }
    learned, development, test = split(words)
    assert len(learned) + len(development) + len(test) == 1000
    assert 20 < len(development) < 80
    assert 20 < len(test) < 80
    fewer = split({word: words[word] for word in list(words)[::2]})
    assert all(set(part) <= set(whole) for part, whole in zip(fewer, (learned, development, test), strict=True))
    assert split(words, seed=1)[2] != test
    assert split({"it's": [["AH0"]], "é": [["AH0"]]}) == ({}, {}, {})
    with pytest.raises(DataError, match="no words"):
        train({})


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_edit_distance(one, other):
    distance = edit_distance(one, other)
    assert distance == edit_distance(other, one)
    assert (distance == 0) == (one == other)
    assert abs(len(one) - len(other)) <= distance <= max(len(one), len(other))
