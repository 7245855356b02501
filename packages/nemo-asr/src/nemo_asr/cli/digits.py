"""``nemo asr digits``: spoken digit strings as files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.output import OverwriteOption, refuse_overwrite

__all__ = ["digits"]


class Split(StrEnum):
    """A split of the embedded recordings."""

    train = "train"
    validation = "validation"
    test = "test"


def digits(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write to.")],
    split: Annotated[Split, typer.Option(help="Whose recordings; test: none that the recipe trains on.")] = Split.test,
    n: Annotated[int, typer.Option("--n", min=1, metavar="N", help="How many strings.")] = 8,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another seed, other strings.")] = 1,
    overwrite: OverwriteOption = False,
) -> None:
    """Write strings of 1 to 8 spoken digits as WAV files, and a manifest that says what is spoken.

    They are composed from real recordings that come with this package (Free Spoken Digit Dataset, CC BY-SA 4.0).

    Example:
      nemo asr digits --split test --n 8 -o digits/
    """
    import soundfile as sf

    from nemo_asr.data.digits import ConnectedDigits
    from nemo_core.audio.manifest import write_manifest

    refuse_overwrite(output / "manifest.jsonl", overwrite)
    output.mkdir(parents=True, exist_ok=True)
    strings = ConnectedDigits(split.value, size=n, seed=seed)
    lines = []
    for index in range(n):
        utterance = strings[index]
        name = f"{split.value}_{index:0{len(str(n - 1))}}.wav"
        sf.write(output / name, utterance.audio, strings.sample_rate, subtype="PCM_16")
        seconds = len(utterance.audio) / strings.sample_rate
        lines.append({"audio_filepath": name, "duration": round(seconds, 4), "text": utterance.text})
    write_manifest(output / "manifest.jsonl", lines)
    typer.echo(f"{n} files and manifest.jsonl written to {output}")
