"""What every kind of tokenizer promises."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError, DataError
from nemo_llm.tokenizers import ByteTokenizer, CharacterTokenizer, StreamDecoder, check_vocab, load_tokenizer

KINDS = ("bytes", "characters", "byte_level_bpe", "wordpiece", "bpe", "unigram", "tiktoken")
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
no_half_characters = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
# SentencePiece writes a space with U+2581: a text that has it comes back with a space.
for_sentence_piece = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁\0"), max_size=40)
pieces = st.sampled_from(
    ["to be", " ", "\n", "  ", "é", "日本", "🙂", "<|im_end|>", "<s>", "</s>", "<|eot_id|>", "x\n\n\ny", "1603"]
)
mixed = st.lists(st.one_of(pieces, no_half_characters), max_size=8).map("".join)


@quick
@given(text=mixed)
@pytest.mark.parametrize("kind", ["bytes", "byte_level_bpe", "tiktoken"])
def test_text_comes_back_exactly(kind, text, made):
    tokenizer = made[kind]
    for parse_special in True, False:
        ids = tokenizer.encode(text, parse_special=parse_special)
        assert tokenizer.decode(ids) == text
        assert all(0 <= index < tokenizer.vocab_size for index in ids)
        if not parse_special:
            assert not set(ids) & set(tokenizer.special_tokens.values())


@quick
@given(text=for_sentence_piece)
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_text_comes_back_exactly_from_sentence_piece_with_bytes(kind, text, made):
    tokenizer = made[kind]
    assert tokenizer.decode(tokenizer.encode(text)) == text
    with_specials = f"<s>{text}</s>{text}<|im_start|> {text}"
    assert tokenizer.decode(tokenizer.encode(with_specials)) == with_specials


@quick
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_gives_the_text_of_all_tokens(kind, data, made):
    tokenizer = made[kind]
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=24))
    for skip in True, False:
        stream = StreamDecoder(tokenizer, skip_special_tokens=skip)
        parts = [stream.push(index) for index in ids]
        assert "".join(parts) + stream.finish() == tokenizer.decode(ids, skip_special_tokens=skip)


@quick
@given(text=mixed)
@pytest.mark.parametrize("kind", ["bytes", "byte_level_bpe", "tiktoken"])
def test_a_stream_never_gives_half_a_character(kind, text, made):
    tokenizer = made[kind]
    stream = tokenizer.stream(skip_special_tokens=False)
    given_out = ""
    for index in tokenizer.encode(text):
        given_out += stream.push(index)
        assert text.startswith(given_out)
    assert given_out == text
    assert stream.finish() == ""


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_saved_and_loaded_and_pickled(kind, made, tmp_path):
    tokenizer = made[kind]
    tokenizer.chat_template = "chatml"
    try:
        folder = tokenizer.save(tmp_path / "tokenizer")
        text = "To be, or not: the question <|im_end|>"
        for other in (load_tokenizer(folder), load_tokenizer(tmp_path), pickle.loads(pickle.dumps(tokenizer))):
            assert type(other) is type(tokenizer)
            assert other.encode(text) == tokenizer.encode(text)
            assert other.vocab_size == tokenizer.vocab_size == len(other)
            for name in (
                "bos_id",
                "eos_id",
                "pad_id",
                "unk_id",
                "stop_ids",
                "special_tokens",
                "chat_template",
                "adds_bos",
            ):
                assert getattr(other, name) == getattr(tokenizer, name), name
            assert other.fingerprint == tokenizer.fingerprint
    finally:
        tokenizer.chat_template = None


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_the_texts_one_by_one(kind, made):
    tokenizer = made[kind]
    texts = ["To be", "", "or <|im_end|> not", "  the   question", "Größe"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    with_end = [kind for kind in ("eos",) if tokenizer.eos_id is not None]
    for ids in tokenizer.encode_batch(texts, eos=bool(with_end)):
        assert not with_end or ids[-1] == tokenizer.eos_id
    assert tokenizer.decode_batch(tokenizer.encode_batch(texts[:1])) == [tokenizer.decode(tokenizer.encode(texts[0]))]


@quick
@given(text=mixed)
@pytest.mark.parametrize("kind", KINDS)
def test_places_of_tokens(kind, text, made):
    tokenizer = made[kind]
    [(ids, spans)] = tokenizer.encode_with_spans([text])
    assert ids == tokenizer.encode(text)
    assert len(spans) == len(ids)
    assert all(0 <= start <= end <= len(text) for start, end in spans)
    assert spans == sorted(spans, key=lambda span: span[0])
    if kind != "wordpiece":  # that drops spaces
        covered = {place for start, end in spans for place in range(start, end)}
        assert covered == set(range(len(text))), (spans, ids)
    for index, (start, end) in zip(ids, spans, strict=True):
        if index in tokenizer.special_tokens.values() and index != tokenizer.unk_id:
            assert text[start:end] == tokenizer.id_to_token(index)


@pytest.mark.parametrize("kind", KINDS)
def test_half_characters_and_strange_numbers_are_refused(kind, made):
    tokenizer = made[kind]
    if kind != "characters":  # to which they are characters that it does not know
        for texts in (["a\ud800"], ["a", "b\udfff"]):
            with pytest.raises(DataError, match="half of a character"):
                tokenizer.encode_batch(texts)
        with pytest.raises(DataError, match="half of a character"):
            tokenizer.encode_with_spans(["a\ud800"])
    for index in (-1, tokenizer.vocab_size, 10**9):
        with pytest.raises(DataError, match=f"no token {index}"):
            tokenizer.decode([index])


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_tokens(kind, made):
    tokenizer = made[kind]
    for token, index in tokenizer.special_tokens.items():
        assert tokenizer.token_to_id(token) == index
        assert tokenizer.id_to_token(index) == token
    assert all(isinstance(tokenizer.id_to_token(index), str) for index in range(tokenizer.vocab_size))
    assert tokenizer.token_to_id("no such token at all") is None
    if tokenizer.eos_token is not None:
        assert tokenizer.encode("", eos=True) == [tokenizer.eos_id]
        assert tokenizer.stop_ids[0] == tokenizer.eos_id
        assert tokenizer.decode([tokenizer.eos_id], skip_special_tokens=True) == ""
        assert tokenizer.decode([tokenizer.eos_id]) == tokenizer.eos_token


def test_characters():
    tokenizer = CharacterTokenizer("abc")
    with pytest.raises(DataError, match=r"'d' \(U\+0064\)"):
        tokenizer.encode("abcd")
    assert CharacterTokenizer("abc", unknown="skip").encode("adb") == [0, 1]
    unknown = CharacterTokenizer("abc", unknown="unk")
    assert unknown.encode("adb") == [0, 3, 1]
    assert (unknown.unk_token, unknown.vocab_size) == ("<unk>", 4)
    for arguments, said in (
        ({"characters": ""}, "no characters"),
        ({"characters": "aba"}, "twice"),
        ({"characters": ["ab"]}, "not one character"),
        ({"characters": "ab", "unknown": "?"}, "unknown"),
        ({"characters": "ab", "eos_token": "<eos>"}, "eos_token"),
        ({"characters": "ab", "special_tokens": ["<x>", "<x>"]}, "twice"),
    ):
        with pytest.raises(ConfigError, match=said):
            CharacterTokenizer(**arguments)


def test_characters_of_files(tmp_path):
    (tmp_path / "a.txt").write_text("ba\n\nc", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"text": "xyz"}\n')
    assert CharacterTokenizer(files=tmp_path / "a.txt").encode("\nabc") == [0, 1, 2, 3]
    both = CharacterTokenizer(files=[tmp_path / "a.txt", tmp_path / "b.jsonl"])
    assert both.vocab_size == 7
    # In an archive the characters stand, not the files.
    assert both.to_config(keep=lambda *_: "kept")["characters"] == list("\nabcxyz")


def test_what_is_missing_is_said():
    tokenizer = CharacterTokenizer("abc")
    with pytest.raises(ConfigError, match="no bos token"):
        tokenizer.encode("a", bos=True)
    with pytest.raises(ConfigError, match="no chat template"):
        tokenizer.apply_chat_template([{"role": "user", "content": "a"}])


def test_vocabulary_of_another_model():
    tokenizer = ByteTokenizer()
    for size in (259, 260, 261, 264, 272, 288, 320, 384):
        check_vocab(tokenizer, size)
    for size in (256, 258, 300, 512, 32_000):
        with pytest.raises(ConfigError, match=f"259 tokens, and the model knows {size}"):
            check_vocab(tokenizer, size)


@pytest.mark.parametrize(
    ("tokens", "rows"),
    # Qwen 2.5, Qwen 3, Phi-3, Llama 3, GPT-2 as Megatron pads it, DeepSeek-V3, Pythia 12B: tokens and rows as published
    [
        (151665, 151936),
        (151669, 151936),
        (32011, 32064),
        (128256, 128256),
        (50257, 50304),
        (128815, 129280),
        (50277, 50688),
    ],
)
def test_rows_of_published_models(tokens, rows):
    class Sized(ByteTokenizer):
        vocab_size = tokens

    check_vocab(Sized(), rows)
    with pytest.raises(ConfigError):
        check_vocab(Sized(), tokens - 1)
