"""``nemo mm classify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, print_json, print_problem, table

if TYPE_CHECKING:
    from nemo_mm.models.contrastive import Match

__all__ = ["classify"]


def classify(
    model: Annotated[str, typer.Argument(help="Contrastive model: archive (.nemo), or run folder.")],
    images: Annotated[list[str], typer.Argument(help="Pictures, folders, or globs in quotes.")],
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="What to choose from; the model's own classes if not given.")
    ] = None,
    template: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Sentence to put the labels into, at {}; may be repeated.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many labels are shown of each picture.")] = 3,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    json: JsonOption = False,
) -> None:
    """Say which words fit a picture best, whether the model was trained on these words or not (zero-shot).

    Exit code 1 if a picture could not be read; the others are classified.

    Example:
      nemo mm classify runs/clip_digits/latest digit.png --labels "a handwritten three,a handwritten eight"
    """
    from nemo_core.errors import ConfigError
    from nemo_mm.cli.shared import embed_readable, find_pictures, restore_contrastive

    found = restore_contrastive(model, device)
    names = found.classes if labels is None else [label.strip() for label in labels.split(",") if label.strip()]
    if not names:
        raise ConfigError("there are no labels to choose from", hint='give some: --labels "a cat,a dog"')
    if bad := [each for each in template or () if "{}" not in each]:
        raise ConfigError(f"--template {bad[0]!r} has no place for labels", hint='such as --template "a photo of a {}"')
    if labels is None:
        template = template or found.templates
    pictures = find_pictures(images)
    rows, good, failed = embed_readable(found, "image", pictures)
    matches = found.rank(rows, found.embed_classes(names, template or ["{}"]), names, top) if good else []
    best, unread = dict(zip(good, matches, strict=True)), iter(failed)
    records = [
        _record(path, best[path]) if path in best else {"image": str(path), "error": next(unread).message}
        for path in pictures
    ]
    if json:
        print_json(records)
    elif len(failed) < len(records):
        table("", ["image", "label", "probability"], [row for record in records for row in _rows(record)])
    for each in failed:
        print_problem("error", each.message, each.hint)
    if failed:
        raise typer.Exit(1)


def _record(path: Path, matches: list[Match]) -> dict[str, Any]:
    ranked = [
        {"label": one.name, "probability": round(one.probability, 6), "score": round(one.score, 6)} for one in matches
    ]
    return {"image": str(path), "label": matches[0].name, "labels": ranked}


def _rows(record: dict[str, Any]) -> list[tuple[str, str, float]]:
    return [
        (record["image"] if place == 0 else "", one["label"], one["probability"])
        for place, one in enumerate(record.get("labels", []))
    ]
