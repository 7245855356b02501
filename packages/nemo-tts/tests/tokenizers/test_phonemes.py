from __future__ import annotations

from random import Random

import pytest

from nemo_core.errors import ConfigError
from nemo_tts.text import EnglishG2p
from nemo_tts.tokenizers import ChinesePhonemesTokenizer, EnglishPhonemesTokenizer, IPATokenizer


def test_english_sounds_have_the_order_of_nvidia_nemo():
    plain = EnglishPhonemesTokenizer(punct=False).vocabulary
    assert plain[:6] == [" ", "B", "CH", "D", "DH", "F"]
    assert plain[24:28] == ["ZH", "AA", "AE", "AH"]
    assert plain[-3:] == ["'", "<pad>", "<oov>"]
    stressed = EnglishPhonemesTokenizer(stresses=True, chars=True, silence="<sil>")
    assert stressed.vocabulary[:3] == [" ", "<sil>", "B"]
    assert stressed.vocabulary[26:29] == ["AA0", "AA1", "AA2"]
    # blank, silence, 24 consonants, 15 vowels three times, letters, apostrophe, 15 marks, pad, oov
    assert len(stressed) == 1 + 1 + 24 + 45 + 26 + 1 + 15 + 2
    assert stressed.silence == 1


def test_stress_is_told_apart_or_not():
    assert EnglishPhonemesTokenizer().decode(EnglishPhonemesTokenizer().encode("hello")) == "HH|AH|L|OW"
    stressed = EnglishPhonemesTokenizer(stresses=True, sep=" ")
    assert stressed.decode(stressed.encode("hello")) == "HH AH0 L OW1"


def test_letters_and_sounds_are_mixed_in_training_only():
    tokenizer = EnglishPhonemesTokenizer(EnglishG2p(phoneme_probability=0.5), stresses=True)
    assert tokenizer.chars
    text = "some words stay in letters and others become sounds"
    assert tokenizer.encode(text) == tokenizer.encode(text)
    mixed = tokenizer.encode(text, Random(0))
    assert mixed == tokenizer.encode(text, Random(0)) != tokenizer.encode(text)
    pieces = tokenizer.pieces(mixed)
    assert any(piece.islower() for piece in pieces)
    assert any(piece.isupper() for piece in pieces)


def test_ipa_is_sorted_and_a_blank_behind():
    tokenizer = IPATokenizer()
    assert tokenizer.vocabulary[:-3] == sorted(tokenizer.vocabulary[:-3])
    assert tokenizer.vocabulary[-3:] == [" ", "<pad>", "<oov>"]
    assert {"ə", "ˈ", ","} <= set(tokenizer.vocabulary)
    assert "«" in IPATokenizer(locale="de-DE").vocabulary
    assert "«" not in tokenizer.vocabulary
    assert IPATokenizer(fixed_vocab=["a", "b"], punct=False).vocabulary == ["a", "b", " ", "<pad>", "<oov>"]
    mixed = IPATokenizer(EnglishG2p("ipa", phoneme_probability=0.5))
    assert set("abcdefghijklmnopqrstuvwxyz") <= set(mixed.vocabulary)
    assert mixed.encode("hello there my friend", Random(2)) != mixed.encode("hello there my friend")


class Spelling:
    """A converter of a third party."""

    symbols = ("A", "B")

    def __call__(self, text):
        return list(text.upper())


def test_a_converter_of_a_third_party():
    tokenizer = IPATokenizer(Spelling(), punct=False)
    assert tokenizer.pieces(tokenizer.encode("ab ba")) == ["A", "B", " ", "B", "A"]
    with pytest.raises(ConfigError, match="what its symbols are"):
        IPATokenizer(lambda text: list(text))
    with pytest.raises(ConfigError, match="gives IPA"):
        EnglishPhonemesTokenizer(EnglishG2p("ipa"))


def test_mandarin_has_the_order_of_nvidia_nemo():
    pytest.importorskip("jieba", reason="nemo-tts[zh] is not installed")
    from nemo_tts.text import ChineseG2p

    tokenizer = ChinesePhonemesTokenizer()
    vocabulary = tokenizer.vocabulary
    # blank, 24 initials and 24 finals, 5 tones, letters, apostrophe, 19 Chinese marks and 15 plain ones, pad, oov
    assert vocabulary[0] == " "
    assert vocabulary[1:4] == ["#A", "#AI", "#AN"]
    assert vocabulary[1:49] == sorted(vocabulary[1:49])
    assert vocabulary[49:54] == ["#1", "#2", "#3", "#4", "#5"]
    assert "".join(vocabulary[54:81]) == "abcdefghijklmnopqrstuvwxyz'"
    assert vocabulary[81:83] == ["，", "。"]
    assert vocabulary[-2:] == ["<pad>", "<oov>"]
    assert tokenizer.decode(tokenizer.encode("中国，OK")) == "#ZH|#ONG|#1|#G|#U|#O|#2|，|o|k"
    assert tokenizer.decode(tokenizer.encode("花儿")) == "#H|#U|#A|#ER|#1"
    for options in ({"notation": "ipa"}, {"notation": "pinyin"}, {"english": "phonemes"}):
        with pytest.raises(ConfigError, match="other symbols"):
            ChinesePhonemesTokenizer(ChineseG2p(**options))
