from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_asr.tokenizers import WordPieceTokenizer, train_word_piece
from nemo_asr.tokenizers.word_piece import SPECIAL_TOKENS, split_words
from nemo_core.config import Trust, instantiate
from nemo_core.errors import ConfigError

TEXTS = ["one two three", "two one", "three three two, grün", "one one one"]
WORDS = ["one", "two", "three", "grün", ","]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in train_word_piece(TEXTS, vocab_size=40)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tokenizer(path):
    return WordPieceTokenizer(path)


@given(words=st.lists(st.sampled_from(WORDS)))
def test_decoding_undoes_encoding(tokenizer, words):
    text = " ".join(words)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(data=st.data())
def test_pieces_spell_the_text_of_any_tokens(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1)))
    pieces = tokenizer.pieces(ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == tokenizer.decode(ids)


@given(text=st.text())
def test_any_text_can_be_encoded(tokenizer, text):
    assert all(0 <= token < len(tokenizer) for token in tokenizer.encode(text))


# Tokens as transformers 4.57 gives them for the vocabulary of bert-base-cased's kind that NVIDIA NeMo sets up.
@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("playing plays", ["play", "##ing", "play", "##s"]),
        ("Play play", ["[UNK]", "play"]),
        ("play's", ["play", "'", "s"]),
        ("a+b", ["a", "+", "[UNK]"]),
        ("日a", ["日", "a"]),
        ("a\tplay\u200bing\x07", ["a", "play", "##ing"]),
        ("é e\u0301", ["é", "é"]),
        ("a" * 101, ["[UNK]"]),
        (" ", []),
    ],
)
def test_words_become_the_longest_pieces(tmp_path, text, tokens):
    vocabulary = ["a", "##a", "e", "é", "s", "'", "+", "日", "play", "##ing", "##s", "##y", "pla"]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    tokenizer = WordPieceTokenizer(tmp_path / "vocab.txt")
    assert tokenizer.vocabulary == [*vocabulary, *SPECIAL_TOKENS]  # those that the file lacks come last
    assert [tokenizer.vocabulary[token] for token in tokenizer.encode(text)] == tokens


def test_lowercasing_drops_accents(path):
    assert split_words("GRÜN One", lowercase=True) == ["grun", "one"]
    lower = WordPieceTokenizer(path, lowercase=True)
    assert lower.encode("ONE") == WordPieceTokenizer(path).encode("one")


def test_an_archive_keeps_the_vocabulary(tokenizer, tmp_path):
    kept = tmp_path / "kept.txt"
    kept.write_bytes(tokenizer.artifacts()["vocab_path"])
    assert WordPieceTokenizer(kept).vocabulary == tokenizer.vocabulary
    again = instantiate(tokenizer.to_config(), trust=Trust.user())
    assert again.vocabulary == tokenizer.vocabulary


def test_learning():
    vocabulary = train_word_piece(TEXTS, vocab_size=40)
    assert vocabulary == train_word_piece(TEXTS, vocab_size=40)
    assert {*SPECIAL_TOKENS, "one", "two", "three"} <= set(vocabulary)
    assert "grün" not in vocabulary  # occurs once only
    assert len(train_word_piece(TEXTS, vocab_size=20)) == 20
    assert "ONE" in train_word_piece(["ONE ONE"], vocab_size=20)
    assert "one" in train_word_piece(["ONE ONE"], vocab_size=20, lowercase=True)


def test_what_cannot_be_learned_is_said():
    with pytest.raises(ConfigError, match="10 tokens are too few") as error:
        train_word_piece(TEXTS, vocab_size=10)
    assert "16 or more" in error.value.hint
    with pytest.raises(ConfigError, match="no texts"):
        train_word_piece(["", " "], vocab_size=10)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"a\nb\na\n", "token 'a' twice"), (b"\xff\xfe", "not UTF-8"), (b"\n", "no tokens"), (None, "cannot be read")],
)
def test_a_bad_file_is_refused(tmp_path, content, said):
    path = tmp_path / "vocab.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as error:
        WordPieceTokenizer(path)
    assert "vocab.txt" in error.value.message
