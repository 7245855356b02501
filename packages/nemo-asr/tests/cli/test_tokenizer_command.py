from __future__ import annotations

import json

import pytest

from nemo_core.cli.main import run

TEXTS = ["one two three", "two one", "Three three two", "four five six seven eight nine"]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(TEXTS) + "\n\n", encoding="utf-8")
    return path


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "train.jsonl"
    lines = [{"audio_filepath": f"{n}.wav", "duration": 1.0, "text": text} for n, text in enumerate(TEXTS)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def learn(capsys, *arguments):
    assert run(["asr", "tokenizer", "train", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("kind", "size"), [("bpe", 30), ("unigram", 22), ("char", 100), ("wpe", 40)])
def test_a_tokenizer_of_each_kind_is_learned_and_shown(kind, size, manifest, tmp_path, capsys):
    folder = tmp_path / "new" / "tokenizer"
    report = learn(capsys, manifest, "-o", folder, "--type", kind, "--vocab-size", size)
    assert report["texts"] == 4
    assert (report["tokens"] == size) if kind in ("bpe", "unigram") else (report["tokens"] <= size)
    assert (folder / "tokenizer.model").exists() == (kind != "wpe")
    assert len((folder / "vocab.txt").read_text().splitlines()) == report["tokens"]

    assert run(["asr", "tokenizer", "show", str(folder), "--json"]) == 0
    tokens = json.loads(capsys.readouterr().out)["tokens"]
    assert tokens == (folder / "vocab.txt").read_text().splitlines()
    assert run(["asr", "tokenizer", "encode", str(folder), "two three", "one", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["decoded"], second["decoded"]) == ("two three", "one")
    assert [tokens[index] for index in first["ids"]] == first["tokens"]


def test_text_and_manifests_together_and_options(corpus, manifest, tmp_path, capsys):
    options = ["--lowercase", "--user-symbol", "<laugh>", "--max-piece-length", "3", "--vocab-size", "28"]
    report = learn(capsys, corpus, manifest, "-o", tmp_path / "t", *options)
    assert report["texts"] == 8
    tokens = (tmp_path / "t" / "vocab.txt").read_text().splitlines()
    assert "<laugh>" in tokens
    assert not any(token.lower() != token for token in tokens)
    assert max(len(token) for token in tokens if token not in ("<unk>", "<laugh>")) <= 3


def test_the_same_texts_give_the_same_tokenizer(corpus, tmp_path, capsys):
    for name in ("a", "b"):
        assert learn(capsys, corpus, "-o", tmp_path / name, "--vocab-size", 24, "--max-texts", 3)["texts"] == 3
    first, second = ((tmp_path / name / "tokenizer.model").read_bytes() for name in ("a", "b"))
    assert first == second


def test_tables_for_people(corpus, tmp_path, capsys):
    assert run(["asr", "tokenizer", "train", str(corpus), "-o", str(tmp_path / "t"), "--vocab-size", "24"]) == 0
    assert "24 tokens learned from 4 texts" in capsys.readouterr().out
    assert run(["asr", "tokenizer", "show", str(tmp_path / "t" / "tokenizer.model")]) == 0
    assert "<unk>" in capsys.readouterr().out
    assert run(["asr", "tokenizer", "encode", str(tmp_path / "t"), "two"]) == 0
    assert "two" in capsys.readouterr().out


def test_files_are_not_overwritten_unasked(corpus, tmp_path, capsys):
    command = ["asr", "tokenizer", "train", str(corpus), "-o", str(tmp_path / "t"), "--vocab-size"]
    assert run([*command, "24"]) == 0
    before = (tmp_path / "t" / "tokenizer.model").read_bytes()
    assert run([*command, "25"]) != 0
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "t" / "tokenizer.model").read_bytes() == before
    assert run([*command, "25", "--overwrite"]) == 0
    assert run([*command, "40", "--type", "wpe", "--overwrite"]) == 0
    assert not (tmp_path / "t" / "tokenizer.model").exists()  # or one would not know which of the two holds


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("missing.txt", None, [], "missing.txt cannot be read"),
        ("missing.jsonl", None, [], "missing.jsonl"),
        ("latin.txt", b"one\ngr\xfcn\n", [], "latin.txt, line 2"),
        ("empty.txt", b"\n \n", [], "no texts to learn from"),
        ("few.txt", b"one two\n", [], "tokens at most"),
        ("few.txt", b"one two\n", ["--vocab-size", "3"], "too few for the characters"),
        ("few.txt", b"one two\n", ["--type", "wpe", "--byte-fallback"], "WordPiece has no"),
        ("bad.jsonl", b'{"audio_filepath": "a.wav"}\n', [], "bad.jsonl"),
        ("few.txt", b"one two\n", ["-o", "few.txt"], "few.txt is a file"),
    ],
)
def test_bad_input(name, content, options, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    output = [] if "-o" in options else ["-o", "out"]
    assert run(["asr", "tokenizer", "train", name, *output, *options]) != 0
    problem = capsys.readouterr().err
    assert said in problem
    assert "Traceback" not in problem
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_tokenizer(tmp_path, capsys):
    assert run(["asr", "tokenizer", "show", str(tmp_path)]) != 0
    assert "neither tokenizer.model nor vocab.txt" in capsys.readouterr().err
