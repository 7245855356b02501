"""``nemo mm transcribe``: what is said in recordings, from a speech-language model."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from nemo_core.cli.output import JsonOption, print_json, print_problem, table

__all__ = ["transcribe"]


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
    from nemo_core.errors import DataError
    from nemo_mm.models.loading import loaded
    from nemo_mm.models.salm import SpeechLanguageModel

    records: list[dict[str, Any]] = []
    with loaded(model, expect=SpeechLanguageModel) as found:
        assert isinstance(found, SpeechLanguageModel)
        for file in audio:
            try:
                records.append({"audio": file, "text": found.transcribe([file], prompt, max_tokens=max_tokens)[0]})
            except DataError as error:
                records.append({"audio": file, "error": error.message})
                print_problem("error", error.message, error.hint)
    if json:
        print_json(records)
    elif len(audio) == 1 and "text" in records[0]:
        typer.echo(records[0]["text"])
    else:
        table("", ["audio", "text"], [(each["audio"], each["text"]) for each in records if "text" in each])
    if any("error" in each for each in records):
        raise typer.Exit(1)
