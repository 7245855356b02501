"""``nemo mm ask``: questions about pictures or recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["ask"]


def ask(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder, a checkpoint, or a run's folder.")],
    given: Annotated[
        list[str],
        typer.Argument(metavar="FILE... QUESTION", help="Pictures or recordings, and last what is asked of them."),
    ],
    max_tokens: Annotated[int, typer.Option(help="Tokens of the answer at most.")] = 128,
    temperature: Annotated[float, typer.Option(help="0: always the likeliest token.")] = 0.0,
    top_p: Annotated[float | None, typer.Option(help="Choose among the likeliest tokens of this probability.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the random numbers.")] = None,
    dtype: Annotated[str | None, typer.Option(metavar="TYPE", help="float32, bfloat16 or float16.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask a model about pictures that it sees, or recordings that it hears.

    They stand before the question, or where it says <image> or <audio>.

    Example:
      nemo mm ask runs/vlm_scenes/latest scene.png "How many yellow squares?"
    """
    from nemo_core.errors import DataError
    from nemo_mm.models.loading import loaded

    *files, question = given
    if Path(question).is_file():
        raise DataError(
            f"{question} is a file, and the last argument is the question",
            hint='nemo mm ask MODEL scene.png "How many squares?"',
        )
    with loaded(model, dtype=dtype) as found:
        asked: Any = found  # what each kind of these models has
        (answer,) = asked.ask(
            [question],
            [files],
            max_tokens=max_tokens,
            greedy=temperature == 0,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
        )
    if as_json:
        typer.echo(json.dumps({"files": files, "question": question, "answer": answer}, ensure_ascii=False))
    else:
        typer.echo(answer)
