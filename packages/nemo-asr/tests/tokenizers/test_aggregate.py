"""Tokenizers of several languages and of special tokens."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_asr.tokenizers import (
    AggregateTokenizer,
    CanaryBPETokenizer,
    CanaryTokenizer,
    CharTokenizer,
    SentencePieceTokenizer,
    SpecialTokens,
    train_sentence_piece,
)
from nemo_core.config import Trust, instantiate
from nemo_core.errors import ConfigError, DataError

TEXTS = ["one two three four", "five six seven", "eight nine ten zero"]


@pytest.fixture(scope="module")
def english(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "en.model"
    path.write_bytes(train_sentence_piece(TEXTS, vocab_size=30))
    return path


def make_canary(english, region=False):
    languages = {"en-US": SentencePieceTokenizer(english), "de-DE": CharTokenizer(" abcdeinsvwz")}
    if not region:
        languages = {name[:2]: tokenizer for name, tokenizer in languages.items()}
    return CanaryTokenizer({"spl_tokens": SpecialTokens(["en", "de"], timestamps=9), **languages})


def test_each_language_has_a_range_of_its_own(english):
    tokenizer = AggregateTokenizer({"en": SentencePieceTokenizer(english), "de": CharTokenizer(" abc")})
    assert len(tokenizer) == len(tokenizer.vocabulary) == 34
    assert tokenizer.encode("abc", lang="de") == [31, 32, 33]
    for lang, text in (("en", "seven one"), ("de", "a cab")):
        tokens = tokenizer.encode(text, lang=lang)
        assert {tokenizer.language(token) for token in tokens} == {lang}
        assert tokenizer.decode(tokens).strip() == text


@given(st.lists(st.integers(0, 33), max_size=20))
def test_the_pieces_spell_the_text(ids):
    tokenizer = AggregateTokenizer({"en": CharTokenizer("abcdefghijklmnopqrstuvwxyz"), "de": CharTokenizer(" äöüßxyz")})
    assert "".join(tokenizer.pieces(ids)) == tokenizer.decode(ids)
    assert len(tokenizer.pieces(ids)) == len(ids)


def test_without_a_known_language_nothing_is_encoded():
    tokenizer = AggregateTokenizer({"en": CharTokenizer("abc"), "de": CharTokenizer("abc")})
    with pytest.raises(DataError, match="language of 'a' is not known"):
        tokenizer.encode("a")
    with pytest.raises(DataError, match="no language 'den'") as caught:
        tokenizer.encode("a", lang="den")
    assert "did you mean" in caught.value.hint
    assert AggregateTokenizer({"en": CharTokenizer("abc")}).encode("b") == [1]
    with pytest.raises(ConfigError, match="no tokenizers"):
        AggregateTokenizer({})


def test_artifacts_of_all_languages_are_kept(english):
    kept = {}

    def keep(owner, argument, content):
        kept[f"{len(kept)}.model"] = content
        return str(english)

    config = make_canary(english).to_config(keep=keep)
    assert list(kept) == ["0.model"]
    again = instantiate(config, trust=Trust.archive())
    assert again.vocabulary == make_canary(english).vocabulary


@pytest.mark.parametrize("region", [False, True])
def test_special_tokens_and_text_are_encoded_each_in_its_way(english, region):
    tokenizer = make_canary(english, region)
    tokens = tokenizer.encode_parts(["<|startoftranscript|>", "<|de|>", "zwei", "<|endoftext|>"], lang="de")
    assert tokens[-1] == tokenizer.end
    assert tokenizer.decode(tokens) == "<|startoftranscript|><|de|>zwei<|endoftext|>"
    assert tokenizer.language(tokens[2]) == ("de-DE" if region else "de")


def test_times_in_a_text_are_tokens(english):
    tokenizer = make_canary(english)
    tokens = tokenizer.encode_parts(["<|0|> one<|3|><|4|> two<|8|>"], lang="en")
    assert tokenizer.decode(tokens) == "<|0|> one<|3|><|4|> two<|8|>"


def test_unknown_special_tokens_are_named(english):
    with pytest.raises(DataError, match=r"no special token <\|fr\|>") as caught:
        make_canary(english).encode_parts(["<|fr|>"], lang="en")
    assert "<|de|>" in caught.value.hint
    with pytest.raises(ConfigError, match="spl_tokens"):
        CanaryTokenizer({"en": CharTokenizer("abc")})
    with pytest.raises(ConfigError, match=r"<\|endoftext\|>"):
        CanaryTokenizer({"spl_tokens": CharTokenizer("abc")})
    with pytest.raises(DataError, match="not made of special tokens"):
        SpecialTokens().encode("hello")
    with pytest.raises(DataError, match=r"<\|de\|>"):
        SpecialTokens().encode("<|de|>")
    with pytest.raises(ConfigError, match="list of languages"):
        SpecialTokens("en")


def test_one_model_may_have_text_and_special_tokens(tmp_path):
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=model,
        vocab_size=40,
        model_type="bpe",
        user_defined_symbols=["<pad>", "<|endoftext|>", "<|en|>"],
        bos_id=-1,
        eos_id=-1,
        minloglevel=2,
    )
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model.getvalue())
    tokenizer = CanaryBPETokenizer(path)
    tokens = tokenizer.encode_parts(["<|en|>", "two one", "<|endoftext|>"], lang="en")
    assert tokens[-1] == tokenizer.end
    assert tokenizer.special["<|en|>"] in tokens
    assert tokenizer.decode(tokens).replace(" ", "") == "<|en|>twoone<|endoftext|>"
    with pytest.raises(DataError, match=r"<\|de\|>"):
        tokenizer.encode_parts(["<|de|>"], lang="de")
