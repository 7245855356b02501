"""``nemo mm caption``: descriptions of pictures, and how good they are."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_core._files import write_atomically
from nemo_core.cli.output import (
    JsonOption,
    OverwriteOption,
    print_json,
    print_problem,
    progress,
    refuse_overwrite,
    table,
)
from nemo_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nemo_mm.models.vision_language import VisionLanguageModel

__all__ = ["caption"]

_FILES = (".jsonl", ".json", ".jsonl.gz", ".parquet", ".tar")


@dataclass
class _Described:
    """What became of one picture."""

    image: Any
    name: str
    people: Sequence[str] = ()
    text: str = ""
    cider: float | None = None
    error: DataError | None = None

    def record(self) -> dict[str, Any]:
        """Return it as a line of captions."""
        found: dict[str, Any] = {"image": self.name, "caption": self.text}
        if self.people:
            found["references"] = list(self.people)
        if self.cider is not None:
            found["cider"] = round(self.cider, 4)
        return {**found, **({} if self.error is None else {"error": self.error.message})}


def caption(
    model: Annotated[str, typer.Argument(help="Run folder, model folder or checkpoint of a vision-language model.")],
    images: Annotated[
        list[str],
        typer.Argument(help="Pictures, folders, globs in quotes, or files of captions (.jsonl, .parquet, .tar)."),
    ],
    prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="What the model is asked: what it was trained with.")
    ] = "Describe the picture.",
    max_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens of a caption at most.")] = 40,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Pictures that are taken together.")] = 16,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where the captions go, as JSON lines.")
    ] = None,
    json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Let a vision-language model describe pictures.

    Where a file of captions says how people describe them, that is compared (CIDEr-D), beside what the same caption for
    all pictures would get. Exit code 1 if a picture could not be read; the others are described.

    Example:
      nemo mm caption runs/vlm_captions/latest "photos/*.jpg"
      nemo mm caption runs/vlm_captions/latest captions.jsonl -o described.jsonl
    """
    from nemo_mm.models.loading import loaded
    from nemo_mm.models.vision_language import VisionLanguageModel

    described = _sources(images)
    if output is not None:
        refuse_overwrite(output, overwrite)
    with loaded(model, expect=VisionLanguageModel) as found:
        assert isinstance(found, VisionLanguageModel)
        with progress("Describing", total=len(described), unit="pictures") as advance:
            for start in range(0, len(described), batch_size):
                several = described[start : start + batch_size]
                _describe(found, several, prompt, max_tokens)
                advance(len(several))
    summary = _score(described)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        lines = [jsonlib.dumps(each.record(), ensure_ascii=False) + "\n" for each in described]
        write_atomically(output, "".join(lines))
    if json:
        print_json({"captions": [each.record() for each in described], **summary})
    else:
        _show(described, summary)
    failed = [each.error for each in described if each.error is not None]
    for error in failed:
        print_problem("error", error.message, error.hint)
    if failed:
        raise typer.Exit(1)


def _sources(given: Sequence[str]) -> list[_Described]:
    """Return the pictures that paths, folders, patterns and files of captions stand for."""
    from nemo_mm.cli.shared import find_pictures
    from nemo_mm.data.caption_chat import captions_of
    from nemo_mm.data.captions import open_pairs

    found: list[_Described] = []
    for source in given:
        if not source.endswith(_FILES):
            found += [_Described(path, str(path)) for path in find_pictures([source])]
            continue
        pairs = open_pairs(source)
        for index in range(len(pairs)):
            try:
                pair = pairs[index]
                name = str(pair.first) if isinstance(pair.first, str | Path) else pair.name
                found.append(_Described(pair.first, name, captions_of(pair)))
            except DataError as error:
                found.append(_Described(None, f"{source}, {index + 1}", error=error))
    return found


def _describe(model: VisionLanguageModel, several: Sequence[_Described], prompt: str, max_tokens: int) -> None:
    """Note what the model says of several pictures, or what is wrong with them."""
    from nemo_mm.images import open_image

    read = []
    for each in several:
        if each.error is not None:
            continue
        try:
            read.append((each, open_image(each.image, name=each.name)))
        except DataError as error:
            each.error = error
    if not read:
        return
    texts = model.describe([pixels for _, pixels in read], prompt, max_tokens=max_tokens)
    for (each, _), text in zip(read, texts, strict=True):
        each.text = text


def _score(described: Sequence[_Described]) -> dict[str, Any]:
    good = [each for each in described if each.error is None]
    summary: dict[str, Any] = {"described": len(good), "failed": len(described) - len(good)}
    scored = [each for each in good if each.people]
    if not scored:
        return summary
    if len(scored) < len(good):
        raise ConfigError("some pictures have captions and some have none", hint="describe them one after the other")
    from nemo_mm.evaluation.captions import score_captions

    score = score_captions([each.text for each in scored], [each.people for each in scored])
    for each, value in zip(scored, score.each, strict=True):
        each.cider = value
    summary |= {"cider": round(score.cider, 6), "cider_same": round(score.same, 6)}
    if score.people is not None:
        summary["cider_people"] = round(score.people, 6)
    return summary


def _show(described: Sequence[_Described], summary: dict[str, Any]) -> None:
    good = [each for each in described if each.error is None]
    compared = "cider" in summary
    if good:
        rows = [[each.name, each.text, *([each.people[0], each.cider] if compared else [])] for each in good]
        table("", ["image", "caption", *(["people", "CIDEr-D"] if compared else [])], rows)
    line = f"{summary['described']} described" + (f", {summary['failed']} failed" if summary["failed"] else "")
    if compared:
        line += f": CIDEr-D {summary['cider']:.3f}; the same for all {summary['cider_same']:.3f}"
        if "cider_people" in summary:
            line += f"; people {summary['cider_people']:.3f}"
    typer.echo(line)
