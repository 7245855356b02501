from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_asr.models import CTCModel, restore
from nemo_asr.modules import ConvASREncoder, CTCDecoder, MelSpectrogram
from nemo_asr.tokenizers import SentencePieceTokenizer, train_sentence_piece
from nemo_core.config import Trust, instantiate
from nemo_core.errors import ConfigError, DataError

TEXTS = ["one two three", "two one", "three three two", "grün und blau"]


@pytest.fixture(scope="module", params=["bpe", "unigram", "bytes"])
def path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    options = {
        "bpe": {"vocab_size": 24},
        "unigram": {"vocab_size": 18, "kind": "unigram"},
        "bytes": {"vocab_size": 290, "byte_fallback": True},
    }
    path.write_bytes(train_sentence_piece(TEXTS, **options[request.param]))
    return path


@pytest.fixture(scope="module")
def tokenizer(path):
    return SentencePieceTokenizer(path)


@given(words=st.lists(st.sampled_from(["one", "two", "three", "grün", "und", "blau"])))
def test_decoding_undoes_encoding(tokenizer, words):
    text = " ".join(words)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(data=st.data())
def test_pieces_spell_the_text_of_any_tokens(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1)))
    pieces = tokenizer.pieces(ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == tokenizer.decode(ids)


def test_vocabulary(tokenizer):
    assert len(tokenizer.vocabulary) == len(tokenizer)
    assert tokenizer.vocabulary[0] == "<unk>"
    assert [tokenizer.vocabulary[index] for index in tokenizer.encode("one")] != ["<unk>"]


def test_learning_is_repeatable():
    assert train_sentence_piece(TEXTS, vocab_size=24) == train_sentence_piece(TEXTS, vocab_size=24)


def test_learned_from_manifests(tmp_path):
    manifest = tmp_path / "train.jsonl"
    manifest.write_text("".join(json.dumps({"audio_filepath": "a.wav", "text": text}) + "\n" for text in TEXTS))
    learned = SentencePieceTokenizer(texts=[manifest], vocab_size=24)
    assert learned.vocabulary[1:] != []
    assert learned.artifacts()["model_path"] == train_sentence_piece(TEXTS, vocab_size=24)
    again = instantiate(
        {"_target_": "asr.SentencePieceTokenizer", "texts": str(manifest), "vocab_size": 24}, trust=Trust.user()
    )
    assert again.vocabulary == learned.vocabulary


@pytest.mark.parametrize("learned", [False, True])
def test_the_model_travels_in_the_archive(learned, path, tmp_path):
    if learned:
        manifest = tmp_path / "train.jsonl"
        manifest.write_text("".join(json.dumps({"audio_filepath": "a.wav", "text": text}) + "\n" for text in TEXTS))
        tokenizer = SentencePieceTokenizer(texts=manifest, vocab_size=24)
    else:
        manifest = tmp_path / "copy.model"
        manifest.write_bytes(path.read_bytes())
        tokenizer = SentencePieceTokenizer(manifest)
    model = CTCModel(
        MelSpectrogram(8000, features=20),
        ConvASREncoder([{"filters": 4, "kernel": 3}], feat_in=20),
        CTCDecoder(4, vocabulary=len(tokenizer)),
        tokenizer,
    )
    archive = model.save(tmp_path / "model.nemo")
    manifest.unlink()  # what it was made from is not needed any more
    again = restore(archive)
    assert again.tokenizer.vocabulary == tokenizer.vocabulary
    assert again.tokenizer.encode("two one") == tokenizer.encode("two one")
    assert restore(again.save(tmp_path / "again.nemo")).tokenizer.vocabulary == tokenizer.vocabulary


def test_bad_models_are_named(tmp_path):
    for content in (b"", b"not a model"):
        (tmp_path / "bad.model").write_bytes(content)
        with pytest.raises(ConfigError, match=r"bad\.model is no SentencePiece model"):
            SentencePieceTokenizer(tmp_path / "bad.model")
    with pytest.raises(ConfigError, match=r"missing\.model cannot be read"):
        SentencePieceTokenizer(tmp_path / "missing.model")
    with pytest.raises(ConfigError, match="no model_path"):
        SentencePieceTokenizer()


def test_a_size_that_the_model_has_not(path, tokenizer):
    with pytest.raises(ConfigError, match=f"has {len(tokenizer)} tokens, and not 7"):
        SentencePieceTokenizer(path, vocab_size=7)


@pytest.mark.parametrize(
    ("texts", "size", "kind", "said"),
    [
        (TEXTS, 1000, "bpe", r"give \d+ tokens at most, and not 1000"),
        (TEXTS, 1000, "unigram", r"give \d+ tokens at most"),
        (TEXTS, 5, "bpe", "too few for the characters"),
        ([], 24, "bpe", "no texts"),
        (TEXTS, 24, "wpe", "kind 'wpe'"),
    ],
)
def test_what_cannot_be_learned_says_why(texts, size, kind, said):
    with pytest.raises(ConfigError, match=said):
        train_sentence_piece(texts, vocab_size=size, kind=kind)


def test_texts_that_are_no_manifests():
    with pytest.raises(DataError, match="neither manifests nor"):
        SentencePieceTokenizer(texts={"_target_": "asr.ConnectedDigits"}, vocab_size=24)
