"""``nemo mm ask`` about recordings, and ``nemo mm transcribe``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, print_json, print_problem, table
from nemo_core.errors import DataError

__all__ = ["ask_about_audio", "transcribe"]


def ask_about_audio(
    model: Any, files: Sequence[str], questions: Sequence[str], *, max_tokens: int = 128, json: bool = False
) -> None:
    """Let a model answer each question about each recording, and print the answers.

    Args:
        model: A :class:`~nemo_mm.models.salm.SpeechLanguageModel` with its weights.
        files: Recordings.
        questions: Texts.
        max_tokens: Of an answer at most.
        json: Print JSON instead of a table.
    """
    records: list[dict[str, Any]] = []
    failed = 0
    for file in files:
        try:
            answers = model.ask(list(questions), [file] * len(questions), max_tokens=max_tokens)
        except DataError as error:
            failed += 1
            records.append({"audio": file, "error": error.message})
            print_problem("error", error.message, error.hint)
            continue
        records += [
            {"audio": file, "question": question, "answer": answer}
            for question, answer in zip(questions, answers, strict=True)
        ]
    good = [record for record in records if "error" not in record]
    if json:
        print_json(records)
    elif len(good) == 1:
        typer.echo(good[0]["answer"])
    elif good:
        table("", ["audio", "question", "answer"], [tuple(record.values()) for record in good])
    if failed:
        raise typer.Exit(1)


def transcribe(
    model: Annotated[str, typer.Argument(help="Run folder, model folder or checkpoint of a speech-language model.")],
    audio: Annotated[list[str], typer.Argument(help="Recordings.")],
    prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="What the model is asked: what it was trained with.")
    ] = "Transcribe the speech.",
    max_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens of a transcript at most.")] = 128,
    json: JsonOption = False,
) -> None:
    """Let a speech-language model write down what is said.

    Exit code 1 if a recording could not be read; the others are transcribed.

    Example:
      nemo mm transcribe runs/salm_digits/latest a.wav b.flac
    """
    from nemo_mm.models.loading import loaded
    from nemo_mm.models.salm import SpeechLanguageModel

    with loaded(model, expect=SpeechLanguageModel) as found:
        ask_about_audio(found, audio, [prompt], max_tokens=max_tokens, json=json)
