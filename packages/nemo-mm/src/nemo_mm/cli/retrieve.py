"""``nemo mm retrieve``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, print_json, print_problem, table
from nemo_core.errors import DataError

__all__ = ["retrieve"]


def retrieve(
    model: Annotated[str, typer.Argument(help="Contrastive model: archive (.nemo), or run folder.")],
    query: Annotated[str, typer.Argument(help="A text, or a file of the other kind: a picture, a recording.")],
    among: Annotated[
        list[str],
        typer.Option(
            "--in", metavar="PATH", help="What to search: files, folders, globs, or a .txt with a text a line."
        ),
    ],
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many are shown.")] = 5,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    json: JsonOption = False,
) -> None:
    """Find what fits a query best: pictures for a text, texts for a picture, pictures for a recording.

    A query that names a file is a file of the kind that its ending says; any other is a text. Exit code 1 if a file of
    --in could not be read; the others are searched.

    Example:
      nemo mm retrieve runs/clip_emoji/latest "a laughing cat" --in emoji/images
      nemo mm retrieve runs/clip_emoji/latest cat.png --in captions.txt
    """
    from nemo_mm.cli.shared import embed_readable, find_candidates, kind_of, restore_contrastive

    if not query.strip():
        raise DataError("the query is empty", hint='nemo mm retrieve MODEL "a laughing cat" --in FOLDER')
    found = restore_contrastive(model, device)
    asked = kind_of(query, found)
    wanted = found.embed(asked, [query])
    candidates = find_candidates(among, found)
    other = kind_of(candidates[0], found)
    rows, good, failed = embed_readable(found, other, candidates)
    matches = found.rank(wanted, rows, list(map(str, good)), top)[0] if good else []
    records: list[dict[str, Any]] = [
        {"rank": place, "match": one.name, "score": round(one.score, 6)} for place, one in enumerate(matches, start=1)
    ]
    if json:
        print_json(records)
    elif matches:
        table("", ["rank", other, "score"], [(each["rank"], each["match"], each["score"]) for each in records])
    for error in failed:
        print_problem("error", error.message, error.hint)
    if failed:
        raise typer.Exit(1)
