"""What files and folders hold: all kinds are recognised, and what is damaged is said."""

from __future__ import annotations

import json

import pytest

from nemo_core.errors import ConfigError, DataError
from nemo_llm.tokenizers import HFTokenizer, SentencePieceTokenizer, TiktokenTokenizer, load_tokenizer

TEXTS = [
    "To be, or not to be",
    "  two  spaces\n\nand lines",
    "naïve façade – 日本 🙂",
    "<|im_end|>The question<|im_start|>",
    "",
]


@pytest.mark.parametrize(
    ("files", "template"),
    [
        ({"tokenizer_config.json": {"chat_template": "A{{ 1 }}"}}, "A{{ 1 }}"),
        ({"chat_template.jinja": "B{{ 1 }}", "tokenizer_config.json": {"chat_template": "A"}}, "B{{ 1 }}"),
        ({"chat_template.json": {"chat_template": "C{{ 1 }}"}}, "C{{ 1 }}"),
        (
            {
                "tokenizer_config.json": {
                    "chat_template": [
                        {"name": "tool_use", "template": "T"},
                        {"name": "default", "template": "D{{ 1 }}"},
                    ]
                }
            },
            "D{{ 1 }}",
        ),
        ({"special_tokens_map.json": {"eos_token": {"content": "<|im_end|>"}}}, None),
    ],
)
def test_where_templates_and_special_tokens_stand(files, template, made, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(made["byte_level_bpe"]._files()["tokenizer.json"])
    for name, content in files.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.chat_template == template
    if template is None:
        assert tokenizer.eos_token == "<|im_end|>"


def test_gpt2_and_bert_files(made, tmp_path):
    bpe, pieces = tmp_path / "gpt2", tmp_path / "bert"
    bpe.mkdir()
    made["byte_level_bpe"].tokenizer.model.save(str(bpe))
    tokenizer = load_tokenizer(bpe)
    assert tokenizer.encode_batch(TEXTS[:3]) == made["byte_level_bpe"].encode_batch(TEXTS[:3])
    assert tokenizer.eos_token == "<|endoftext|>"
    pieces.mkdir()
    (pieces / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    made["wordpiece"].tokenizer.model.save(str(pieces))
    assert load_tokenizer(pieces).encode_batch(TEXTS[:2]) == made["wordpiece"].encode_batch(TEXTS[:2])
    (bpe / "merges.txt").unlink()
    with pytest.raises(ConfigError, match=r"no merges\.txt"):
        load_tokenizer(bpe)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_llama_style_sentence_piece(kind, made, tmp_path):
    ours = made[kind]
    (tmp_path / "tokenizer.model").write_bytes(ours._files()["tokenizer.model"])
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"added_tokens_decoder": {str(ours.vocab_size): {"content": "<|tool|>"}}, "eos_token": "<|tool|>"})
    )
    tokenizer = load_tokenizer(tmp_path)
    assert isinstance(tokenizer, SentencePieceTokenizer)
    assert tokenizer.vocab_size == ours.vocab_size + 1
    assert tokenizer.encode("to be<|tool|>") == [*ours.encode("to be"), ours.vocab_size]
    assert tokenizer.eos_id == ours.vocab_size
    # The library itself, for texts without special tokens.
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_proto=ours._files()["tokenizer.model"])
    for text in [*TEXTS[:3], "To be\nor not"]:
        assert ours.encode(text) == model.encode(text)
        assert ours.decode(model.encode(text)) == model.decode(model.encode(text)) == text


def test_whether_texts_begin_with_bos(made, tmp_path):
    from tokenizers import Tokenizer, processors

    assert made["tiktoken"].adds_bos  # Llama 3
    assert not any(made[kind].adds_bos for kind in ("bytes", "characters", "byte_level_bpe", "bpe", "unigram"))
    theirs = Tokenizer.from_str(made["byte_level_bpe"].tokenizer.to_str())
    theirs.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
    )
    ours = HFTokenizer.of(theirs, bos_token="<|im_start|>")
    assert ours.adds_bos
    assert ours.encode("to be") == made["byte_level_bpe"].encode("to be")  # only when asked for
    for said, expected in ((None, True), (True, True), (False, False)):
        (tmp_path / "tokenizer.model").write_bytes(made["bpe"]._files()["tokenizer.model"])
        (tmp_path / "tokenizer_config.json").write_text("{}" if said is None else json.dumps({"add_bos_token": said}))
        loaded = load_tokenizer(tmp_path)
        assert loaded.adds_bos is expected
        assert load_tokenizer(loaded.save(tmp_path / "again")).adds_bos is expected


def test_tiktoken_is_what_tiktoken_gives(made, tmp_path):
    tiktoken = pytest.importorskip("tiktoken")
    ours = made["tiktoken"]
    from nemo_llm.tokenizers.tiktoken_ranks import PATTERNS, read_ranks

    ranks = read_ranks(ours._files()["tokenizer.model"], "ranks")
    theirs = tiktoken.Encoding(
        "x", pat_str=PATTERNS["llama3"], mergeable_ranks=ranks, special_tokens=dict(ours.special_tokens)
    )
    for text in [*TEXTS, "<|begin_of_text|>to be<|eot_id|>"]:
        assert ours.encode(text) == theirs.encode(text, allowed_special="all")
        assert ours.encode(text, parse_special=False) == theirs.encode_ordinary(text)
    # A bare tokenizer.model of ranks is Llama 3's: 256 special tokens, at the places that Meta gave them.
    (tmp_path / "tokenizer.model").write_bytes(ours._files()["tokenizer.model"])
    llama = load_tokenizer(tmp_path)
    assert isinstance(llama, TiktokenTokenizer)
    first = len(ranks)
    assert llama.vocab_size == first + 256
    assert (llama.bos_id, llama.eos_id) == (first, first + 1)
    numbers = {
        "<|reserved_special_token_0|>": 2,
        "<|finetune_right_pad_id|>": 4,
        "<|reserved_special_token_2|>": 5,
        "<|start_header_id|>": 6,
        "<|eot_id|>": 9,
        "<|python_tag|>": 10,
        "<|reserved_special_token_3|>": 11,
        "<|reserved_special_token_247|>": 255,
    }
    assert {token: llama.token_to_id(token) - first for token in numbers} == numbers
    assert llama.stop_ids == (first + 1, first + 8, first + 9)


def test_tiktoken_patterns_are_openais(monkeypatch):
    """The patterns as tiktoken has them; no ranks are fetched."""
    from nemo_llm.tokenizers.tiktoken_ranks import PATTERNS

    public = pytest.importorskip("tiktoken_ext.openai_public")
    for name in ("load_tiktoken_bpe", "data_gym_to_mergeable_bpe_ranks"):
        monkeypatch.setattr(public, name, lambda *args, **options: {})
    assert public.cl100k_base()["pat_str"] == PATTERNS["cl100k"]
    assert public.o200k_base()["pat_str"] == PATTERNS["o200k"]
    assert public.r50k_pat_str == PATTERNS["gpt2"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"IQ== 0\nIg==\n", "line 2"),
        (b"IQ== 0\nI*== 1\n", "line 2"),
        (b"IQ== 0\nIQ== 1\n", "line 2: the token is there twice"),
        (b"IQ== 0\nIg== 2\n", "are not 0 to 1"),
        (b"IQ== 0\nIg== 1\n", "byte 0x00 has no token"),
    ],
)
def test_damaged_ranks(content, said, tmp_path):
    (tmp_path / "x.tiktoken").write_bytes(content)
    with pytest.raises(DataError, match=said):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("tokenizer.json", b"{", DataError, "is no tokenizer of Hugging Face"),
        ("tokenizer.json", b"version https://git-lfs.github.com/spec/v1\n", DataError, "Git LFS"),
        ("tokenizer.model", b"", DataError, "no SentencePiece model"),
        (
            "tokenizer.model",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            DataError,
            "no SentencePiece",
        ),
        ("tokenizer.model", b"\x00\x01 garbage \xff" * 40, DataError, "no SentencePiece"),
        ("vocab.txt", b"hello\nworld\n", DataError, r"no \[UNK\]"),
        ("vocab.txt", b"[UNK]\n\xff\n", DataError, "not UTF-8"),
        ("tokenizer_config.json", b"[]", DataError, "not a JSON object"),
        ("tokenizer_config.json", b"{", DataError, "is not JSON"),
        ("tokenizer_config.json", b'{"nemo_tokenizer": "byte"}', DataError, "bytes"),
        ("tokenizer_config.json", b'{"nemo_tokenizer": "bytes", "colour": 1}', DataError, "colour"),
        ("readme.txt", b"", ConfigError, "holds no tokenizer"),
    ],
)
def test_damaged_and_foreign_files(name, content, error, said, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=said):
        load_tokenizer(tmp_path)


def test_truncated_sentence_piece(made, tmp_path):
    whole = made["bpe"]._files()["tokenizer.model"]
    (tmp_path / "tokenizer.model").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="SentencePiece"):
        load_tokenizer(tmp_path)


def test_paths_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="no such tokenizer"):
        load_tokenizer(tmp_path / "missing")
    assert load_tokenizer("bytes").vocab_size == 259
