"""What all tokenizers of speech synthesis keep."""

from __future__ import annotations

import importlib.util
import itertools
import logging
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.config import Trust, instantiate
from nemo_core.errors import ConfigError, DataError
from nemo_tts.text import EnglishG2p, EnglishNormalizer
from nemo_tts.tokenizers import (
    CharsTokenizer,
    ChinesePhonemesTokenizer,
    EnglishPhonemesTokenizer,
    IPATokenizer,
    SpeechTokenizer,
)

CHINESE = importlib.util.find_spec("jieba") is not None and importlib.util.find_spec("pypinyin") is not None
MAKERS = {
    "chars": lambda **options: CharsTokenizer("en", **options),
    "german": lambda **options: CharsTokenizer("de", **options),
    "arpabet": lambda **options: EnglishPhonemesTokenizer(stresses=True, **options),
    "plain arpabet": lambda **options: EnglishPhonemesTokenizer(**options),
    "mixed": lambda **options: EnglishPhonemesTokenizer(EnglishG2p(phoneme_probability=0.5), **options),
    "ipa": lambda **options: IPATokenizer(apostrophe=True, **options),
}
if CHINESE:
    MAKERS["chinese"] = lambda **options: ChinesePhonemesTokenizer(**options)


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def test_the_vocabulary_is_in_order_and_ends_with_the_special_tokens(make):
    tokenizer = make()
    assert len(tokenizer) == len(tokenizer.vocabulary) == len(set(tokenizer.vocabulary))
    assert tokenizer.vocabulary[-2:] == ["<pad>", "<oov>"]
    assert (tokenizer.pad, tokenizer.oov, tokenizer.blank) == (len(tokenizer) - 2, len(tokenizer) - 1, None)
    assert tokenizer.vocabulary[tokenizer.space] == " "
    with_blank = make(add_blank_at="before")
    assert with_blank.vocabulary[-3:] == ["<pad>", "<blank>", "<oov>"]
    assert with_blank.vocabulary[with_blank.blank] == "<blank>"
    last = make(add_blank_at="last")
    assert last.vocabulary[-3:] == ["<pad>", "<oov>", "<blank>"]
    assert (last.blank, last.oov) == (len(last) - 1, len(last) - 2)


@pytest.mark.parametrize(
    ("text", "empty"), [("", True), ("   ", True), ("...", False), ("?! ,", False), (" hello  world ", False)]
)
def test_blanks_are_single_and_not_at_the_ends(make, text, empty):
    tokenizer = make()
    ids = tokenizer.encode(text)
    assert (ids == []) == empty
    assert ids == [] or tokenizer.space not in (ids[0], ids[-1])
    assert all(one != tokenizer.space or other != tokenizer.space for one, other in itertools.pairwise(ids))
    padded = make(pad_with_space=True)
    assert padded.encode(text) == [padded.space, *ids, padded.space]


@pytest.mark.parametrize("text", ["hi 🙂", "hi שלום", "hi \x00 you", "hi привет"])
def test_what_has_no_token_is_an_error_or_skipped_or_oov(make, text, caplog):
    with pytest.raises(DataError, match="is not in the tokenizer's vocabulary") as caught:
        make().encode(text)
    assert " at " in caught.value.message
    assert "unknown=skip" in caught.value.hint
    skipping = make(unknown="skip")
    with caplog.at_level(logging.WARNING):
        ids = skipping.encode(text)
        assert skipping.encode(text) == ids
    assert skipping.oov not in ids
    assert sum(skipping.skipped.values()) == 2 * len([each for each in text[3:] if each not in " you"])
    assert len(caplog.records) == len(skipping.skipped)  # one warning for each symbol, however often it comes
    marking = make(unknown="oov")
    assert marking.oov in marking.encode(text)


def test_the_error_says_which_symbol_and_where():
    with pytest.raises(DataError, match=r"'🙂' \(SLIGHTLY SMILING FACE\) at 3 of 'hi 🙂'"):
        CharsTokenizer("en").encode("hi 🙂")
    with pytest.raises(DataError, match="'5'"):
        EnglishPhonemesTokenizer().encode("5")


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=30))
@pytest.mark.parametrize("name", MAKERS)
def test_any_text_becomes_tokens(name, text):
    tokenizer = _SKIPPING.setdefault(name, MAKERS[name](unknown="skip"))
    if "|" in text:  # between bars there are sounds
        text = text.replace("|", "")
    ids = tokenizer.encode(text)
    assert all(0 <= index < len(tokenizer) for index in ids)
    assert tokenizer.encode_symbols(tokenizer.pieces(ids)) == ids


_SKIPPING: dict[str, SpeechTokenizer] = {}


def test_long_texts(make):
    assert len(make().encode("hello world " * 834)) > 5000


@pytest.mark.parametrize("index", [-1, 10_000])
def test_numbers_that_no_token_has(make, index):
    tokenizer = make()
    with pytest.raises(DataError, match=f"{index} is no token"):
        tokenizer.decode([index])


def test_special_tokens_are_not_decoded(make):
    tokenizer = make(add_blank_at="last")
    ids = tokenizer.encode("hello")
    assert tokenizer.decode([tokenizer.pad, *ids, tokenizer.blank, tokenizer.oov]) == tokenizer.decode(ids)


def test_nonsense_is_refused(make):
    with pytest.raises(ConfigError, match="'ignore'"):
        make(unknown="ignore")


def test_a_normaliser_comes_first(make):
    tokenizer = make(normalizer=EnglishNormalizer())
    assert tokenizer.encode("Dr. No") == make().encode("Doctor No")


def test_it_travels_and_is_rebuilt(make):
    tokenizer = make(pad_with_space=True, normalizer=EnglishNormalizer())
    expected = tokenizer.encode("hello 2")
    assert pickle.loads(pickle.dumps(tokenizer)).encode("hello 2") == expected
    again = instantiate(tokenizer.to_config(), trust=Trust.archive())
    assert again.vocabulary == tokenizer.vocabulary
    assert again.encode("hello 2") == expected
