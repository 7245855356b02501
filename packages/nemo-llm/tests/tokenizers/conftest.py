"""Tokenizers of every kind, learned from a few lines."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from nemo_llm.tokenizers import ByteTokenizer, CharacterTokenizer, TiktokenTokenizer, train_tokenizer

LINES = [
    "To be, or not to be, that is the question:",
    "Whether 'tis nobler in the mind to suffer",
    "The slings and arrows of outrageous fortune,  1603 and  more",
    "Über die Größe des Café: naïve façade – ça va? 日本語 42",
] * 8

KINDS = ("bytes", "characters", "byte_level_bpe", "wordpiece", "bpe", "unigram", "tiktoken")
#: Kinds whose round trip is exact for every text.
EXACT = ("bytes", "byte_level_bpe", "tiktoken")


def ranks_file(
    path: Path, merged: tuple[str, ...] = ("th", "the", " t", " the", "to", " to", " be", "qu", "est")
) -> Path:
    tokens = [*(bytes([byte]) for byte in range(256)), *(token.encode() for token in merged)]
    path.write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens)))
    return path


def make(kind: str, folder: Path):
    if kind == "bytes":
        return ByteTokenizer(["<bos>", "<eos>", "<|im_start|>", "<|im_end|>"])
    if kind == "characters":
        return CharacterTokenizer.learn(LINES, special_tokens=["<|im_end|>"], unknown="unk")
    if kind == "tiktoken":
        pytest.importorskip("tiktoken", reason="tokenizers of tiktoken need nemo-llm[tiktoken]")
        return TiktokenTokenizer(ranks_file(folder / "tokenizer.model"))
    sizes = {"byte_level_bpe": 340, "wordpiece": 160, "bpe": 370, "unigram": 325}
    return train_tokenizer(LINES, kind=kind, vocab_size=sizes[kind], special_tokens=["<|im_start|>", "<|im_end|>"])


class Made(dict):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __missing__(self, kind: str):
        self[kind] = make(kind, self.folder)
        return self[kind]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """One tokenizer of each kind, by its name."""
    return Made(tmp_path_factory.mktemp("ranks"))
