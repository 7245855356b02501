"""``nemo asr an4``: manifests for the AN4 data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.output import OverwriteOption, refuse_overwrite

__all__ = ["an4"]


def an4(
    folder: Annotated[Path, typer.Argument(help="AN4 as it is distributed: the folder that has etc/ and wav/.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write to.")],
    overwrite: OverwriteOption = False,
) -> None:
    """Write train.jsonl, validation.jsonl and test.jsonl for AN4, an hour of spelling, dates and names.

    The split is the official one; every 15th speaker of the training data goes to validation instead.

    Example:
      nemo asr an4 downloads/an4 -o an4/ && nemo train asr/fastconformer_ctc asr/data=an4 an4=an4/
    """
    from nemo_asr.data.an4 import read_an4
    from nemo_core.audio.manifest import write_manifest

    lines = read_an4(folder)
    for split in lines:
        refuse_overwrite(output / f"{split}.jsonl", overwrite)
    output.mkdir(parents=True, exist_ok=True)
    for split, entries in lines.items():
        write_manifest(output / f"{split}.jsonl", entries)
        minutes = sum(entry["duration"] for entry in entries) / 60
        typer.echo(f"{output / f'{split}.jsonl'}: {len(entries)} utterances, {minutes:.1f} minutes")
