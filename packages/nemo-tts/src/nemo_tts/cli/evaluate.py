"""``nemo tts evaluate``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.devices import DeviceOption, device_of
from nemo_core.cli.output import JsonOption, OverwriteOption, print_json, progress, refuse_overwrite, table

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[str, typer.Argument(help="Acoustic model: archive (.nemo), run folder, or published name.")],
    manifest: Annotated[
        Path, typer.Argument(help="Manifest (.jsonl) of texts and recordings, or texts alone, a line each (.txt).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the report goes.")],
    vocoder: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Makes audio of spectrograms. [default: griffin-lim]")
    ] = None,
    recognizer: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Says what is understood, such as a model of nemo-asr.")
    ] = None,
    speaker_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Says how alike voices are, such as a model of nemo-asr.")
    ] = None,
    speaker: Annotated[str | None, typer.Option(metavar="NAME", help="Voice of lines that name none.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="Take the first lines only.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Sentences that are computed together.")] = 8,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Say the texts of a manifest, measure, and write a page with players and pictures.

    Example:
      nemo tts evaluate fastpitch.nemo test.jsonl --vocoder hifigan.nemo --recognizer asr.nemo -o report
    """
    refuse_overwrite(output / "index.html", overwrite)
    from nemo_tts.evaluation.evaluate import evaluate as measure
    from nemo_tts.evaluation.evaluate import read_entries
    from nemo_tts.evaluation.report import LABELS, format_measure, write_report
    from nemo_tts.synthesis import load_synthesizer

    count = len(read_entries(manifest))
    where = device_of(device)
    speaks = load_synthesizer(model, vocoder, device=where)
    with progress("Speaking", total=count if limit is None else min(limit, count), unit="texts") as advance:
        found = measure(
            speaks,
            manifest,
            output,
            recognizer=recognizer,
            speaker_model=speaker_model,
            limit=limit,
            batch_size=batch_size,
            device=where,
            progress=advance,
            speaker=speaker,
        )
    page = write_report(found, output, title=f"{model} on {manifest}")
    summary = found.summary()
    if json:
        print_json({**summary, "report": str(page), "rows": [asdict(row) for row in found.rows]})
        return
    rows = [(LABELS[name][0], format_measure(name, value)) for name, value in summary.items()]
    table("Evaluation", ("what", "value"), [*rows, ("report", str(page))])
