from __future__ import annotations

import json

import pytest

from nemo_core.cli.main import run
from nemo_llm.tokenizers import load_tokenizer

TEXTS = ["one two three", "two one", "Three three two", "four five six seven eight nine"] * 4


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(TEXTS) + "\n\n", encoding="utf-8")
    return path


def learn(capsys, *arguments):
    assert run(["llm", "tokenizer", "train", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("kind", "size"), [("byte_level_bpe", 270), ("bpe", 285), ("unigram", 282), ("wordpiece", 50), ("characters", 99)]
)
def test_a_tokenizer_of_each_kind_is_learned_and_shown(kind, size, corpus, tmp_path, capsys):
    folder = tmp_path / "new" / "tokenizer"
    options = ["--special-token", "<|im_start|>", "--special-token", "<|im_end|>", "--chat-template", "chatml"]
    report = learn(capsys, corpus, "-o", folder, "--type", kind, "--vocab-size", size, *options)
    assert report["tokens"] <= size
    assert {"<|im_start|>", "<|im_end|>"} <= set(report["special_tokens"])
    loaded = load_tokenizer(folder)
    assert loaded.vocab_size == report["tokens"]
    assert "<|im_start|>" in loaded.chat_template

    assert run(["llm", "tokenizer", "show", str(folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["tokens"] == report["tokens"]
    assert shown["special_tokens"] == report["special_tokens"]
    assert run(["llm", "tokenizer", "show", str(folder), "--tokens", "--json"]) == 0
    tokens = json.loads(capsys.readouterr().out)["tokens"]
    assert run(["llm", "tokenizer", "encode", str(folder), "two three", "one<|im_end|>", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["decoded"] == "two three"
    assert [tokens[index] for index in first["ids"]] == first["tokens"]
    assert second["tokens"][-1] == "<|im_end|>"
    assert run(["llm", "tokenizer", "encode", str(folder), "one<|im_end|>", "--plain", "--json"]) in (0, 2)
    out = capsys.readouterr().out
    assert not out or "<|im_end|>" not in json.loads(out)[0]["tokens"]


def test_the_same_texts_give_the_same_tokenizer(corpus, tmp_path, capsys):
    for kind, size in (("byte_level_bpe", 270), ("unigram", 280)):
        for name in ("a", "b"):
            learn(capsys, corpus, "-o", tmp_path / kind / name, "--type", kind, "--vocab-size", size)
        assert load_tokenizer(tmp_path / kind / "a").fingerprint == load_tokenizer(tmp_path / kind / "b").fingerprint


def test_records_and_tables_for_people(tmp_path, capsys):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"body": text}) + "\n" for text in TEXTS))
    command = [
        "llm",
        "tokenizer",
        "train",
        str(path),
        "--key",
        "body",
        "-o",
        str(tmp_path / "t"),
        "--vocab-size",
        "280",
    ]
    assert run(command) == 0
    assert "tokens learned from 16 texts" in capsys.readouterr().out
    assert run(["llm", "tokenizer", "show", str(tmp_path / "t")]) == 0
    assert "<|endoftext|>" in capsys.readouterr().out
    assert run(["llm", "tokenizer", "encode", "bytes", "two", "--eos"]) == 0
    assert "116 119 111 257" in capsys.readouterr().out


def test_nothing_is_overwritten_unasked(corpus, tmp_path, capsys):
    command = ["llm", "tokenizer", "train", str(corpus), "-o", str(tmp_path / "t"), "--vocab-size", "280"]
    assert run(command) == 0
    before = (tmp_path / "t" / "tokenizer.json").read_bytes()
    assert run([*command, "--type", "bpe"]) != 0
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "t" / "tokenizer.json").read_bytes() == before
    assert run([*command, "--type", "bpe", "--overwrite"]) == 0
    assert load_tokenizer(tmp_path / "t").kind == "sentencepiece"
    assert not (tmp_path / "t" / "tokenizer.json").exists()


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("missing.txt", None, [], "missing.txt cannot be read"),
        ("missing.jsonl", None, [], "missing.jsonl cannot be read"),
        ("latin.txt", b"one\ngr\xfcn\n", [], "latin.txt, line 2"),
        ("empty.txt", b"\n \n", [], "no texts to learn"),
        ("few.txt", b"one two\n", ["--vocab-size", "99", "--type", "unigram"], "too few for the characters"),
        ("few.txt", b"one two\n", ["--vocab-size", "999", "--type", "bpe"], "at most"),
        ("few.txt", b"one two\n", ["--vocab-size", "99"], "set vocab_size to 257"),
        ("few.txt", b"one two three\n", ["--vocab-size", "6", "--type", "wordpiece"], "too few for the characters"),
        ("bad.jsonl", b'{"text": "a"}\n{"test": "b"}\n', [], "bad.jsonl, line 2: text is missing"),
        ("bad.jsonl", b'{"text": "a"}\n{"text": 3}\n', [], "bad.jsonl, line 2: text is 3"),
        ("bad.jsonl", b'{"text": "a"}\n{"text"\n', [], "bad.jsonl, line 2: is not JSON"),
        ("bad.jsonl", b"[1]\n", [], "bad.jsonl, line 1: is not a JSON object"),
        ("bad.parquet", b"PAR1", [], "bad.parquet is no Parquet file"),
        ("few.txt", b"one two\n", ["-o", "few.txt"], "few.txt is a file"),
        ("few.txt", b"one two\n", ["--chat-template", "chatmel"], "names are chatml"),
    ],
)
def test_bad_input(name, content, options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow", reason="Parquet needs nemo-llm[parquet]")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    output = [] if "-o" in options else ["-o", "out"]
    assert run(["llm", "tokenizer", "train", name, *output, *options]) == 2
    problem = capsys.readouterr().err
    assert said in problem
    assert "Traceback" not in problem
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_tokenizer(tmp_path, capsys):
    assert run(["llm", "tokenizer", "show", str(tmp_path)]) == 2
    assert "holds no tokenizer" in capsys.readouterr().err
