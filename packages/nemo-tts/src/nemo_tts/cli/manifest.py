"""``nemo tts manifest``."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.output import JsonOption, OverwriteOption, print_json, print_problem, refuse_overwrite

__all__ = ["manifest"]


class Layout(StrEnum):
    """How a corpus lies on disk."""

    ljspeech = "ljspeech"
    sfspeech = "sfspeech"
    aishell3 = "aishell3"


def manifest(
    layout: Annotated[Layout, typer.Argument(help="How the corpus lies on disk.")],
    folder: Annotated[Path, typer.Argument(help="Folder with metadata.csv, text_SF.txt or content.txt.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Manifest (.jsonl) to write.")],
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out lines that cannot be taken.")] = False,
    json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Write the manifest of a published corpus: LJSpeech, SFSpeech, AISHELL-3, or another in one of their layouts.

    Example:
      nemo tts manifest aishell3 AISHELL-3/train -o train.jsonl
    """
    from nemo_tts.data.corpora import corpus_manifest

    refuse_overwrite(output, overwrite)
    found = corpus_manifest(layout.value, folder, output, skip_bad=skip_bad)
    for reason in found.skipped:
        print_problem("warning", f"left out: {reason}")
    if json:
        print_json({"manifest": str(output), **asdict(found)})
        return
    voices = f"{len(found.speakers)} voices" if len(found.speakers) > 1 else found.speakers[0]
    typer.echo(f"{output}: {found.utterances:,} utterances, {found.seconds / 60:.1f} min, {voices}")
