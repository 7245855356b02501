"""``nemo asr tokenizer``: learning tokenizers from texts, and seeing what they do."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, OverwriteOption, print_json, refuse_overwrite, table, track
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_asr.tokenizers import Tokenizer

__all__ = ["encode", "show", "train"]

_MODEL, _VOCABULARY = "tokenizer.model", "vocab.txt"


class Kind(StrEnum):
    """What can be learned."""

    bpe = "bpe"
    unigram = "unigram"
    char = "char"
    wpe = "wpe"


_Tokenizer = Annotated[
    Path,
    typer.Argument(metavar="TOKENIZER", help="tokenizer.model, vocab.txt of WordPiece, or a folder with one."),
]


def train(
    texts: Annotated[list[Path], typer.Argument(help="Manifests (.json, .jsonl), or files with a text a line.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write to.")],
    kind: Annotated[
        Kind, typer.Option("--type", help="Byte-pair encoding, unigram, characters, or WordPiece.")
    ] = Kind.bpe,
    vocab_size: Annotated[int, typer.Option(min=2, metavar="N", help="Number of tokens.")] = 1024,
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Lowercase the texts first.")] = False,
    character_coverage: Annotated[
        float, typer.Option(min=0.9, max=1.0, help="Share of the characters that get a token; the rarest may not.")
    ] = 1.0,
    byte_fallback: Annotated[
        bool, typer.Option("--byte-fallback", help="Spell characters without a token in bytes (256 tokens more).")
    ] = False,
    user_symbol: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A token whatever is around it; can be repeated.")
    ] = None,
    max_piece_length: Annotated[int, typer.Option(min=1, metavar="N", help="Characters of a token at most.")] = 16,
    max_texts: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Learn from so many texts, drawn at random.")
    ] = None,
    json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Learn the tokens of a tokenizer from texts.

    Writes tokenizer.model (WordPiece has none) and vocab.txt, one token a line. Recipes take it with
    tokenizer.model_path=FOLDER/tokenizer.model. The same texts give the same tokenizer.

    Example:
      nemo asr tokenizer train train.jsonl -o tokenizer/ --type unigram --vocab-size 512
    """
    from nemo_asr.tokenizers import SentencePieceTokenizer, train_sentence_piece, train_word_piece

    options: dict[str, Any] = {  # of SentencePiece
        "character_coverage": character_coverage,
        "byte_fallback": byte_fallback,
        "user_symbols": user_symbol or [],
        "max_piece_length": max_piece_length,
    }
    if kind is Kind.wpe and list(options.values()) != [1.0, False, [], 16]:
        raise ConfigError(
            "WordPiece has no character coverage, bytes, symbols of its own or longest piece",
            hint="leave out these options, or choose --type bpe",
        )
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output} is a file", hint="-o names a folder")
    model, vocabulary = (refuse_overwrite(output / name, overwrite) for name in (_MODEL, _VOCABULARY))

    options["kind"] = kind.value
    found = _Counted(_texts(texts, lowercase, max_texts))
    if kind is Kind.wpe:
        tokens = train_word_piece(found, vocab_size=vocab_size)
        model.unlink(missing_ok=True)
    else:
        content = train_sentence_piece(found, vocab_size=vocab_size, **options)
        output.mkdir(parents=True, exist_ok=True)
        model.write_bytes(content)
        tokens = SentencePieceTokenizer(model).vocabulary
    output.mkdir(parents=True, exist_ok=True)
    vocabulary.write_bytes("".join(f"{token}\n" for token in tokens).encode())

    written = vocabulary if kind is Kind.wpe else model
    if json:
        print_json({"tokenizer": str(written), "type": kind.value, "tokens": len(tokens), "texts": found.count})
    else:
        typer.echo(f"{len(tokens)} tokens learned from {found.count} texts: {written}")


def show(tokenizer: _Tokenizer, json: JsonOption = False) -> None:
    """List the tokens of a tokenizer.

    Example:
      nemo asr tokenizer show tokenizer/
    """
    tokens = _load(tokenizer).vocabulary
    if json:
        print_json({"tokens": tokens})
    else:
        table("", ["number", "token"], enumerate(tokens))


def encode(
    tokenizer: _Tokenizer,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="What to encode.")],
    json: JsonOption = False,
) -> None:
    """Show the tokens that texts become.

    Example:
      nemo asr tokenizer encode tokenizer/ "hello world"
    """
    loaded = _load(tokenizer)
    vocabulary = loaded.vocabulary
    encoded = [(text, loaded.encode(text)) for text in texts]
    if json:
        print_json(
            [
                {"text": text, "ids": ids, "tokens": [vocabulary[i] for i in ids], "decoded": loaded.decode(ids)}
                for text, ids in encoded
            ]
        )
    else:
        rows = [
            (" ".join(vocabulary[i] for i in ids), " ".join(map(str, ids)), loaded.decode(ids)) for _, ids in encoded
        ]
        table("", ["tokens", "numbers", "decoded"], rows)


class _Counted:
    """Counts what goes by, and shows progress."""

    def __init__(self, texts: Iterator[str]) -> None:
        self.count = 0
        self._texts = texts

    def __iter__(self) -> Iterator[str]:
        for text in track(self._texts, "Reading", unit="texts"):
            self.count += 1
            yield text


def _texts(paths: list[Path], lowercase: bool, most: int | None) -> Iterator[str]:
    from nemo_asr.tokenizers.texts import draw, read_texts

    texts = read_texts(paths)
    for text in texts if most is None else draw(texts, most):
        yield text.lower() if lowercase else text


def _load(path: Path) -> Tokenizer:
    from nemo_asr.tokenizers import SentencePieceTokenizer, WordPieceTokenizer

    if path.is_dir():
        candidates = [path / name for name in (_MODEL, _VOCABULARY) if (path / name).exists()]
        if not candidates:
            raise ConfigError(f"{path} has neither {_MODEL} nor {_VOCABULARY}")
        path = candidates[0]
    return WordPieceTokenizer(path) if path.suffix == ".txt" else SentencePieceTokenizer(path)
