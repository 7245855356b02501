"""``nemo llm prepare-data``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.output import JsonOption, OverwriteOption, print_json, progress

__all__ = ["prepare_data"]


class Unit(StrEnum):
    """What a document is in a text file."""

    file = "file"
    paragraph = "paragraph"
    line = "line"


def prepare_data(
    inputs: Annotated[
        list[str], typer.Argument(help="JSON Lines, .txt (also .gz, .zst) or .parquet; folders; globs in quotes.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PREFIX", help="Path without suffix: PREFIX.bin and PREFIX.idx.")
    ],
    tokenizer: Annotated[str, typer.Option(metavar="FOLDER", help="Folder or file of the tokenizer.")],
    key: Annotated[str, typer.Option(metavar="KEY", help="Key (or column) of the text.")] = "text",
    append_eod: Annotated[bool, typer.Option("--append-eod", help="End each document with the eos token.")] = False,
    prepend_bos: Annotated[bool, typer.Option("--prepend-bos", help="Start each with the bos token.")] = False,
    parse_special: Annotated[
        bool, typer.Option(help="Read special tokens that a text spells out, like <|endoftext|>, as such.")
    ] = True,
    document: Annotated[Unit, typer.Option(help="What a document is in a .txt file.")] = Unit.file,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out and count what cannot be read.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes; by default one for each core.")
    ] = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Turn texts into a token file for training, in Megatron's format.

    The documents keep their order, and the result does not depend on the number of processes.

    Example:
      nemo llm prepare-data "corpus/*.jsonl" -o data/corpus --tokenizer my-tokenizer --append-eod
    """
    from dataclasses import asdict

    from nemo_llm.data.documents import find_files
    from nemo_llm.data.prepare import prepare

    megabytes = sum(path.stat().st_size for path in find_files(inputs)) / 1e6
    with progress("Tokenizing", total=round(megabytes, 2), unit="MB") as advance:
        done = prepare(
            inputs,
            output,
            tokenizer,
            key=key,
            append_eod=append_eod,
            prepend_bos=prepend_bos,
            parse_special=parse_special,
            unit=document.value,
            skip_bad=skip_bad,
            overwrite=overwrite,
            workers=workers,
            advance=lambda size: advance(size / 1e6),
        )
    if json:
        print_json(asdict(done))
        return
    left_out = [f"{done.empty} empty"] if done.empty else []
    left_out += [f"{done.skipped} bad"] if done.skipped else []
    typer.echo(
        f"{output}: {done.documents} documents, {done.tokens} tokens ({done.dtype})"
        + (f"; left out: {', '.join(left_out)}" if left_out else "")
    )
