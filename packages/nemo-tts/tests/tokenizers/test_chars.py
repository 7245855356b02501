from __future__ import annotations

import unicodedata

import pytest

from nemo_core.errors import ConfigError, DataError
from nemo_tts.tokenizers import (
    CharsTokenizer,
    EnglishCharsTokenizer,
    FrenchCharsTokenizer,
    GermanCharsTokenizer,
    GermanPhonemesTokenizer,
    ItalianCharsTokenizer,
    SpanishCharsTokenizer,
    VietnameseCharsTokenizer,
)


def test_english_has_the_order_of_nvidia_nemo():
    tokenizer = EnglishCharsTokenizer()
    assert "".join(tokenizer.vocabulary[:-2]) == " abcdefghijklmnopqrstuvwxyz',.!?-:;/\"()[]{}"
    assert tokenizer.decode(tokenizer.encode("Café “it’s”")) == 'cafe "it\'s"'


@pytest.mark.parametrize(
    ("kind", "text", "decoded", "size"),
    [
        (GermanCharsTokenizer, "Grüße, „Welt“!", "Grüße, „Welt“!", 1 + 60 + 1 + 15 + 11 + 2),
        (SpanishCharsTokenizer, "¿Qué Año?", "¿qué año?", 1 + 33 + 1 + 15 + 6 + 2),
        (FrenchCharsTokenizer, "Ça, où… œuf", "ça, où… œuf", 1 + 46 + 1 + 15 + 13 + 2),
        (ItalianCharsTokenizer, "Perché così", "perché così", None),
        (VietnameseCharsTokenizer, "Tiếng Việt", "tiếng việt", 1 + 2 * 93 + 1 + 15 + 2),
        (GermanPhonemesTokenizer, "haˈloː".replace("ˈ", "1"), "ha1loː", None),
    ],
)
def test_letters_of_languages(kind, text, decoded, size):
    tokenizer = kind()
    assert tokenizer.decode(tokenizer.encode(text)) == decoded
    assert tokenizer.encode(unicodedata.normalize("NFD", text)) == tokenizer.encode(text)
    if size is not None:
        assert len(tokenizer) == size
    assert len(set(tokenizer.vocabulary)) == len(tokenizer)


def test_marks_and_letters_can_be_chosen():
    tokenizer = CharsTokenizer("en", chars="ba", punct=False, apostrophe=False)
    assert tokenizer.vocabulary == [" ", "b", "a", "<pad>", "<oov>"]
    assert CharsTokenizer("en", chars="a", non_default_punct_list=["…"]).vocabulary[:4] == [" ", "a", "'", "…"]
    with pytest.raises(DataError, match="','"):
        CharsTokenizer("en", punct=False).encode("a,")


def test_one_class_is_configured_for_all():
    assert CharsTokenizer("de").vocabulary == GermanCharsTokenizer().vocabulary
    with pytest.raises(ConfigError, match="'xx'"):
        CharsTokenizer("xx")
    with pytest.raises(ConfigError, match="'a' is among the letters twice"):
        CharsTokenizer("en", chars="aba")


class Shouting:
    symbols = ("a", "b")

    def __call__(self, text):
        return list(text.replace("x", "ab"))


def test_a_converter_of_a_third_party_comes_first():
    tokenizer = GermanPhonemesTokenizer(g2p=Shouting())
    assert tokenizer.decode(tokenizer.encode("x")) == "ab"
