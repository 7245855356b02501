"""``nemo mm ask``: questions about pictures or recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from nemo_core.cli.audio import ChannelOption, channel_of
from nemo_core.cli.output import JsonOption, print_json
from nemo_core.errors import ConfigError, DataError

__all__ = ["ask"]


def ask(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder, a checkpoint, or a run's folder.")],
    given: Annotated[
        list[str],
        typer.Argument(metavar="FILE... QUESTION", help="Pictures or recordings, and last what is asked of them."),
    ],
    max_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens of the answer at most.")] = 128,
    temperature: Annotated[float, typer.Option(min=0, metavar="X", help="0: always the likeliest token.")] = 0.0,
    top_p: Annotated[
        float | None, typer.Option(metavar="X", help="Choose among the likeliest tokens of this probability.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of the random numbers.")] = None,
    channel: ChannelOption = None,
    dtype: Annotated[str | None, typer.Option(metavar="TYPE", help="float32, bfloat16 or float16.")] = None,
    json: JsonOption = False,
) -> None:
    """Ask a model about pictures that it sees, or recordings that it hears.

    They stand before the question, or where it says <image> or <audio>. Recordings of another rate are resampled.

    Example:
      nemo mm ask runs/vlm_scenes/latest scene.png "How many yellow squares?"
      nemo mm ask runs/salm_digits/latest digits.wav "How many digits are said?"
    """
    from nemo_mm.models.loading import loaded
    from nemo_mm.models.salm import SpeechLanguageModel

    *files, question = given
    _check_question(question, files)
    with loaded(model, dtype=dtype) as found:
        asked: Any = found  # what each kind of these models has
        options: dict[str, Any] = {}
        if channel is not None:
            if not isinstance(found, SpeechLanguageModel):
                raise ConfigError(f"{model} sees, and channels are of recordings", hint="leave out --channel")
            options["channel"] = channel_of(channel)
        (answer,) = asked.ask(
            [question],
            [files],
            max_tokens=max_tokens,
            greedy=temperature == 0,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            **options,
        )
    if json:
        print_json({"files": files, "question": question, "answer": answer})
    else:
        typer.echo(answer)


def _check_question(question: str, files: Sequence[str]) -> None:
    """Raise if the question was forgotten."""
    from nemo_core.audio.files import AUDIO_SUFFIXES
    from nemo_mm.images.opening import IMAGE_SUFFIXES

    hint = 'nemo mm ask MODEL scene.png "How many squares?"'
    if not question.strip():
        raise DataError("the question is empty", hint=hint)
    if Path(question).is_file():
        raise DataError(f"{question} is a file, and the last argument is the question", hint=hint)
    if not files and Path(question).suffix.lower() in IMAGE_SUFFIXES | AUDIO_SUFFIXES:
        raise DataError(f"{question}: there is no such file, and no question", hint=hint)
