"""``nemo mm retrieve``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, print_json, table

__all__ = ["retrieve"]


def retrieve(
    model: Annotated[str, typer.Argument(help="Archive (.nemo) of a contrastive model.")],
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

    A query that names a file is a file of the kind that its ending says; any other is a text.

    Example:
      nemo mm retrieve emoji.nemo "a laughing cat" --in emoji/images
      nemo mm retrieve emoji.nemo cat.png --in captions.txt
    """
    from nemo_mm.cli.shared import find_candidates, kind_of, restore_contrastive

    found = restore_contrastive(model, device)
    asked = kind_of(query, found)
    candidates = find_candidates(among, found)
    other = kind_of(candidates[0], found)
    matches = found.rank(found.embed(asked, [query]), found.embed(other, candidates), list(map(str, candidates)), top)[
        0
    ]
    records: list[dict[str, Any]] = [
        {"rank": place, "match": one.name, "score": round(one.score, 6)} for place, one in enumerate(matches, start=1)
    ]
    if json:
        print_json(records)
    else:
        table("", ["rank", other, "score"], [(each["rank"], each["match"], each["score"]) for each in records])
