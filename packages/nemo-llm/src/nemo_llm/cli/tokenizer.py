"""``nemo llm tokenizer``: learning tokenizers from texts, and seeing what they do."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, OverwriteOption, print_json, table, track
from nemo_core.errors import ConfigError

__all__ = ["encode", "show", "train"]


class Kind(StrEnum):
    """What can be learned."""

    byte_level_bpe = "byte_level_bpe"
    bpe = "bpe"
    unigram = "unigram"
    wordpiece = "wordpiece"
    characters = "characters"


_Tokenizer = Annotated[
    Path,
    typer.Argument(metavar="TOKENIZER", help="A tokenizer's folder or file, a model folder, or the word bytes."),
]


def train(
    texts: Annotated[list[Path], typer.Argument(help="Files with a text a line; .jsonl, .json or .parquet.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write to.")],
    kind: Annotated[
        Kind, typer.Option("--type", help="BPE of bytes; BPE or unigram of SentencePiece; WordPiece; characters.")
    ] = Kind.byte_level_bpe,
    vocab_size: Annotated[
        int, typer.Option(min=2, metavar="N", help="Number of tokens, special ones included.")
    ] = 32_000,
    special_token: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A special token, as <|im_start|>; can be repeated.")
    ] = None,
    chat_template: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="How conversations are written: chatml, llama3, a file.")
    ] = None,
    key: Annotated[str, typer.Option(metavar="KEY", help="What texts are called in .jsonl and .parquet.")] = "text",
    lowercase: Annotated[bool, typer.Option("--lowercase", help="Lowercase the texts first.")] = False,
    min_frequency: Annotated[
        int, typer.Option(min=1, metavar="N", help="How often what is merged must occur (byte_level_bpe, wordpiece).")
    ] = 2,
    character_coverage: Annotated[
        float, typer.Option(min=0.9, max=1.0, help="Share of characters with a token of their own (bpe, unigram).")
    ] = 1.0,
    byte_fallback: Annotated[
        bool, typer.Option(help="Spell characters without a token in bytes: 256 tokens (bpe, unigram).")
    ] = True,
    json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Learn the tokens of a tokenizer from texts; the same texts give the same tokenizer.

    Recipes take it with tokenizer.path=FOLDER. Byte-level BPE and WordPiece are written as a tokenizer.json that
    transformers reads, too.

    Example:
      nemo llm tokenizer train corpus.jsonl -o tokenizer/ --vocab-size 8000 --special-token "<|im_start|>"
    """
    from nemo_llm.tokenizers import ChatTemplate, train_tokenizer
    from nemo_llm.tokenizers.texts import read_texts

    _check_output(output, overwrite)
    if chat_template is not None:
        ChatTemplate.of(chat_template)
    found = _Counted(read_texts(texts, key=key, whole=kind is Kind.characters))
    tokenizer = train_tokenizer(
        found,
        kind=kind.value,
        vocab_size=vocab_size,
        special_tokens=special_token or (),
        lowercase=lowercase,
        min_frequency=min_frequency,
        character_coverage=character_coverage,
        byte_fallback=byte_fallback,
        chat_template=chat_template,
    )
    _clear(output)
    tokenizer.save(output)
    if json:
        print_json(
            {
                "tokenizer": str(output),
                "type": kind.value,
                "tokens": tokenizer.vocab_size,
                "texts": found.count,
                "special_tokens": dict(tokenizer.special_tokens),
            }
        )
    else:
        typer.echo(f"{tokenizer.vocab_size} tokens learned from {found.count} texts: {output}")


def show(
    tokenizer: _Tokenizer,
    tokens: Annotated[bool, typer.Option("--tokens", help="List all tokens.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what a tokenizer is: its kind, its special tokens, its chat template; or all of its tokens.

    Example:
      nemo llm tokenizer show ./Llama-3.2-1B
    """
    from nemo_llm.tokenizers import load_tokenizer

    loaded = load_tokenizer(tokenizer)
    if tokens:
        names = [loaded.id_to_token(index) for index in range(loaded.vocab_size)]
        if json:
            print_json({"tokens": names})
        else:
            table("", ["number", "token"], enumerate(names))
        return
    facts: dict[str, Any] = {"kind": loaded.kind, "tokens": loaded.vocab_size}
    for role in ("bos", "eos", "pad", "unk"):
        facts[role] = getattr(loaded, f"{role}_token")
    facts["stop"] = [loaded.id_to_token(index) for index in loaded.stop_ids]
    if json:
        special = dict(loaded.special_tokens)
        print_json({**facts, "special_tokens": special, "chat_template": loaded.chat_template})
        return
    table("", ["", ""], [(name, value) for name, value in facts.items() if value not in (None, [])])
    if loaded.special_tokens:
        typer.echo()
        rows = [(index, token) for token, index in sorted(loaded.special_tokens.items(), key=lambda item: item[1])]
        table("Special tokens", ["number", "token"], rows)
    if loaded.chat_template is not None:
        typer.echo(f"\nChat template\n{loaded.chat_template}")


def encode(
    tokenizer: _Tokenizer,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="What to encode.")],
    bos: Annotated[bool, typer.Option("--bos", help="Put the token for the start of a text before each.")] = False,
    eos: Annotated[bool, typer.Option("--eos", help="Put the token for the end of a text behind each.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Take special tokens for the letters that they are.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the tokens that texts become.

    Example:
      nemo llm tokenizer encode tokenizer/ "hello world"
    """
    from nemo_llm.tokenizers import load_tokenizer

    loaded = load_tokenizer(tokenizer)
    batch = loaded.encode_batch(texts, bos=bos, eos=eos, parse_special=not plain)
    encoded = [
        {
            "text": text,
            "ids": ids,
            "tokens": [loaded.id_to_token(index) for index in ids],
            "decoded": loaded.decode(ids),
        }
        for text, ids in zip(texts, batch, strict=True)
    ]
    if json:
        print_json(encoded)
    else:
        rows = [
            (" ".join(map(loaded.id_to_token, ids)), " ".join(map(str, ids)), each["decoded"])
            for each, ids in zip(encoded, batch, strict=True)
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


# What a folder of a tokenizer has; of any other folder nothing is removed.
_WRITTEN = ("tokenizer_config.json", "tokenizer.json", "tokenizer.model")


def _check_output(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file", hint="-o names a folder")
    there = [name for name in _WRITTEN if (folder / name).exists()]
    if there and not overwrite:
        raise ConfigError(
            f"{folder / there[0]} exists already", hint="choose another output, or give --overwrite to replace it"
        )


def _clear(folder: Path) -> None:
    """Remove a tokenizer of another kind, or one would not know which of the two holds."""
    for name in _WRITTEN:
        (folder / name).unlink(missing_ok=True)
