"""``nemo mm classify``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, print_json, print_problem, table

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
    from nemo_core.errors import ConfigError, DataError
    from nemo_mm.cli.shared import find_pictures, restore_contrastive

    found = restore_contrastive(model, device)
    names = found.classes if labels is None else [label.strip() for label in labels.split(",") if label.strip()]
    if not names:
        raise ConfigError("there are no labels to choose from", hint='give some: --labels "a cat,a dog"')
    if bad := [each for each in template or () if "{}" not in each]:
        raise ConfigError(f"--template {bad[0]!r} has no place for labels", hint='such as --template "a photo of a {}"')
    failed: list[DataError] = []
    records: list[dict[str, Any]] = []
    for path in find_pictures(images):
        try:
            matches = found.classify([path], None if labels is None else names, templates=template)[0]
        except DataError as error:
            failed.append(error)
            records.append({"image": str(path), "error": error.message})
            continue
        ranked = [
            {"label": one.name, "probability": round(one.probability, 6), "score": round(one.score, 6)}
            for one in matches[:top]
        ]
        records.append({"image": str(path), "label": matches[0].name, "labels": ranked})
    if json:
        print_json(records)
    elif len(failed) < len(records):
        table("", ["image", "label", "probability"], [row for record in records for row in _rows(record)])
    for each in failed:
        print_problem("error", each.message, each.hint)
    if failed:
        raise typer.Exit(1)


def _rows(record: dict[str, Any]) -> list[tuple[str, str, float]]:
    return [
        (record["image"] if place == 0 else "", one["label"], one["probability"])
        for place, one in enumerate(record.get("labels", []))
    ]
