"""Word by word gives what the tokenizer gives, whatever the text; where that is not sure, the tokenizer is asked."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from nemo_core.errors import DataError
from nemo_llm.data import encoding
from nemo_llm.data.encoding import Encoder, WordEncoder, encoder_of
from nemo_llm.tokenizers import ByteTokenizer, HFTokenizer

LINES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split_by(expression: str, **options):
    split = pre_tokenizers.Split(Regex(expression), **{"behavior": "isolated", **options})
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


CUTTERS = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "llama3": split_by(LINES.format("{1,3}")),
    "qwen2": split_by(LINES.format("")),
}

#: Every kind of white space, and what is near it: controls, marks, digits, punctuation, contractions, no-break spaces.
NASTY = (
    " \n\r\t\x0b\x0c\x1c\x1f\x85\xa0\u1680\u180e\u2003\u200b\u2028\u202f\u205f\u3000\ufeffaZß9٣Ⅷ²_.,'\"-/(é\u0301字😀ſ"
)
texts = st.one_of(
    st.text(st.characters(blacklist_categories=("Cs",)), max_size=40),
    st.text(st.sampled_from(NASTY), max_size=40),
    st.lists(
        st.sampled_from(
            ["the", " ", "  ", "\n", "\r\n", "cat's", "\t", "1234", ".", "</s>", "<|end|>", "é", "'LL", "。"]
        ),
        max_size=20,
    ).map("".join),
)


def learn(cutter, normalizer=None) -> HFTokenizer:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = cutter, decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    corpus = [
        "the cat's paw, 1234 and 99.\n\nThe  end\t(of it)\n  all's well.  \n\t\tif x:\n\t\t\treturn é 字 字字\r\n" * 3,
        "' 'll \n \n . \n, ...\n\n!!\n  --\n   a  b\u3000c\u00a0d 12 345 6789\n",
    ]
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=1,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_tokens(["</s>"])  # not special: also read where special ones are letters
    return HFTokenizer.of(tokenizer, eos_token="<|end|>")


@pytest.fixture(scope="module", params=[(name, composed) for name in CUTTERS for composed in (False, True)], ids=str)
def tokenizer(request) -> HFTokenizer:
    name, composed = request.param
    return learn(CUTTERS[name], normalizers.NFC() if composed else None)


@settings(max_examples=250, deadline=None)
@given(texts, st.booleans())
def test_word_by_word_is_what_the_tokenizer_gives(tokenizer, text, parse_special):
    encoder = encoder_of(tokenizer, np.uint16, parse_special=parse_special)
    assert isinstance(encoder, WordEncoder)
    tokens, lengths = encoder.encode([text, text])
    expected = tokenizer.encode(text, parse_special=parse_special)
    assert tokens.tolist() == expected * 2
    assert lengths.tolist() == [len(expected)] * 2
    assert "".join(encoder._pieces.findall(text)) == text


def test_what_is_remembered_is_used_and_bounded(tokenizer, monkeypatch):
    encoder = encoder_of(tokenizer, np.int32)
    text = "the cat's  paw and the cat's end"
    expected = encoder.encode([text])[0].tolist()
    known = len(encoder._known)
    assert known > 3
    asked = []
    monkeypatch.setattr(WordEncoder, "bytes_of", lambda self, piece: asked.append(piece))
    assert encoder.encode([text])[0].tolist() == expected
    assert asked == []
    monkeypatch.undo()
    encoder.encode(["x" * 100])
    assert len(encoder._known) == known  # too long to come again
    monkeypatch.setattr(encoding, "_MOST", 2)
    assert encoder.encode(["the the"])[0].tolist() == tokenizer.encode("the the")
    assert len(encoder._known) == 2
    assert pickle.loads(pickle.dumps(encoder)).encode([text])[0].tolist() == expected


def test_half_a_character(tokenizer):
    with pytest.raises(DataError, match="half of a character"):
        encoder_of(tokenizer, np.uint16).encode(["fine", "a \ud800"])


@pytest.mark.parametrize(
    ("cutter", "normalizer"),
    [
        (pre_tokenizers.ByteLevel(add_prefix_space=True), None),
        (pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), None),
        (pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.Lowercase()),
        (split_by(r"\p{L}+|\s+|."), None),
        (split_by(LINES.format("{1,3}"), behavior="removed", invert=True), None),
        (pre_tokenizers.Sequence([pre_tokenizers.Digits(), CUTTERS["gpt2"]]), None),
        (pre_tokenizers.Metaspace(), None),
        (None, None),
    ],
    ids=str,
)
def test_other_tokenizers_are_asked_themselves(cutter, normalizer):
    made = tokenizers.Tokenizer(models.BPE(vocab={"a": 0, "Ġ": 1, "Ġa": 2}, merges=[("Ġ", "a")]))
    if cutter is not None:
        made.pre_tokenizer = cutter
    if normalizer is not None:
        made.normalizer = normalizer
    encoder = encoder_of(HFTokenizer.of(made), np.uint16)
    assert type(encoder) is Encoder
    tokens, lengths = encoder.encode(["a a", "", "a"])
    assert tokens.tolist() == [*made.encode("a a").ids, *made.encode("a").ids]
    assert lengths.tolist()[1] == 0


def test_tokenizers_that_are_no_byte_level_bpe():
    encoder = encoder_of(ByteTokenizer(), np.uint16)
    assert type(encoder) is Encoder
    assert [part.tolist() for part in encoder.encode(["ab", "", "c"])] == [[97, 98, 99], [2, 0, 1]]
    random = tokenizers.Tokenizer(models.BPE(vocab={"a": 0}, merges=[], dropout=0.5))
    random.pre_tokenizer = CUTTERS["gpt2"]
    assert type(encoder_of(HFTokenizer.of(random), np.uint16)) is Encoder
