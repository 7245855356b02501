"""``nemo mm transcribe``: what is said in recordings, from a speech-language model."""

from __future__ import annotations

import json as jsonlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_core._files import write_atomically
from nemo_core.cli.audio import BatchSizeOption, ChannelOption, channel_of
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
    import numpy as np

    from nemo_core.audio.sources import Source
    from nemo_mm.models.salm import SpeechLanguageModel

__all__ = ["transcribe"]

_FORMATS = ("txt", "json")
_ALL = "transcripts.jsonl"


@dataclass
class _Heard:
    """What became of one recording."""

    source: Source
    seconds: float = 0.0
    text: str = ""
    error: DataError | None = None

    def record(self) -> dict[str, Any]:
        """Return it as a line of a manifest."""
        fields: dict[str, Any] = {"audio_filepath": self.source.name, "duration": round(self.seconds, 4)}
        if self.source.text is not None:
            fields["text"] = self.source.text
        return {**fields, "pred_text": self.text, **({} if self.error is None else {"error": self.error.message})}


def transcribe(
    model: Annotated[str, typer.Argument(help="Run folder, model folder or checkpoint of a speech-language model.")],
    audio: Annotated[list[str], typer.Argument(help="Files, folders, globs in quotes, or manifests (.jsonl).")],
    prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="What the model is asked: what it was trained with.")
    ] = "Transcribe the speech.",
    max_tokens: Annotated[int, typer.Option(min=1, metavar="N", help="Tokens of a transcript at most.")] = 128,
    format: Annotated[
        str | None,
        typer.Option(metavar="NAME[,NAME]", help="txt or json; with -o both, if not given. Without -o it is printed."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help=f"For a .txt per audio, and {_ALL} of all."),
    ] = None,
    batch_size: BatchSizeOption = 16,
    channel: ChannelOption = None,
    json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Let a speech-language model write down what is said.

    Recordings of another rate are resampled. Where a manifest says what is spoken, that is shown beside what was heard,
    with the word error rate. Exit code 1 if a recording could not be transcribed; the others are.

    Example:
      nemo mm transcribe runs/salm_digits/latest a.wav b.flac
      nemo mm transcribe runs/salm_digits/latest "calls/*.mp3" -o transcripts
    """
    from nemo_core.audio.sources import find_sources
    from nemo_mm.models.loading import loaded
    from nemo_mm.models.salm import SpeechLanguageModel

    heard = [_Heard(source) for source in find_sources(list(audio))]
    formats = _formats(format, output, json)
    files = _files(output, formats, heard, overwrite)
    with loaded(model, expect=SpeechLanguageModel) as found:
        assert isinstance(found, SpeechLanguageModel)
        started = time.perf_counter()
        with progress("Transcribing", total=len(heard), unit="files") as advance:
            for start in range(0, len(heard), batch_size):
                several = heard[start : start + batch_size]
                _transcribe(found, several, prompt, max_tokens, channel_of(channel))
                advance(len(several))
        seconds = time.perf_counter() - started
    for path, content in _contents(files, heard).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    _report(heard, seconds, formats if output is None else (), json)
    failed = [each.error for each in heard if each.error is not None]
    for error in failed:
        print_problem("error", error.message, error.hint)
    if failed:
        raise typer.Exit(1)


def _transcribe(
    model: SpeechLanguageModel, several: Sequence[_Heard], prompt: str, max_tokens: int, channel: int | str | None
) -> None:
    """Note what is said in several recordings, or what is wrong with them."""
    read: list[tuple[_Heard, np.ndarray]] = []
    for each in several:
        try:
            samples = each.source.read(model.config.sample_rate, channel)
            each.seconds = len(samples) / model.config.sample_rate
            model.check_room(prompt, [samples], each.source.name)
        except DataError as error:
            each.error = error
        else:
            read.append((each, samples))
    if read:
        texts = model.transcribe([samples for _, samples in read], prompt, max_tokens=max_tokens)
        for (each, _), text in zip(read, texts, strict=True):
            each.text = text


def _formats(given: str | None, output: Path | None, json: bool) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip().lower() for name in (given or "").split(",") if name.strip()))
    for name in names:
        if name not in _FORMATS:
            raise ConfigError(f"format {name!r} is not known", hint=f"one of {', '.join(_FORMATS)}")
    if output is None and (len(names) > 1 or (names and json)):
        raise ConfigError("only one format can be printed", hint="give a folder with -o")
    return names or (_FORMATS if output is not None else ())


def _files(
    output: Path | None, formats: Sequence[str], heard: Sequence[_Heard], overwrite: bool
) -> dict[Path, list[_Heard]]:
    """Return which files are to be written, of what; none of them is in the way."""
    from nemo_core.audio.sources import unique_names

    if output is None:
        return {}
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output} is a file", hint="name a folder")
    files: dict[Path, list[_Heard]] = {}
    if "txt" in formats:
        names = unique_names([each.source.name for each in heard])
        files = {output / f"{name}.txt": [each] for name, each in zip(names, heard, strict=True)}
    if "json" in formats:
        files[output / _ALL] = list(heard)
    for path in files:
        refuse_overwrite(path, overwrite)
    return files


def _contents(files: dict[Path, list[_Heard]], heard: Sequence[_Heard]) -> dict[Path, str]:
    return {
        path: _lines(several, "json" if path.name == _ALL else "txt")
        for path, several in files.items()
        if path.name == _ALL or several[0].error is None
    }


def _lines(heard: Sequence[_Heard], format: str) -> str:
    if format == "json":
        return "".join(jsonlib.dumps(each.record(), ensure_ascii=False) + "\n" for each in heard)
    return "".join(" ".join(each.text.split()) + "\n" for each in heard if each.error is None)


def _report(heard: Sequence[_Heard], seconds: float, formats: Sequence[str], json: bool) -> None:
    if formats:
        typer.echo(_lines(heard, formats[0]), nl=False)
        return
    good = [each for each in heard if each.error is None]
    length = sum(each.seconds for each in good)
    summary: dict[str, Any] = {
        "transcribed": len(good),
        "failed": len(heard) - len(good),
        "audio_seconds": round(length, 2),
        "seconds": round(seconds, 3),
    }
    scored = [(each.source.text, each.text) for each in good if each.source.text is not None]
    if scored:
        from nemo_mm.models.speech_answers import AnswerScores

        scores = AnswerScores()
        for said, text in scored:
            scores.add(0, said, text)
        summary["wer"] = round(scores.over()["wer"], 6)
    if json:
        print_json({"transcripts": [each.record() for each in heard], **summary})
        return
    if good:
        rows = [
            [each.source.name, round(each.seconds, 2), *([each.source.text or ""] if scored else []), each.text]
            for each in good
        ]
        table("", ["audio", "seconds", *(["said"] if scored else []), "heard"], rows)
    line = f"{len(good)} transcribed" + (f", {summary['failed']} failed" if summary["failed"] else "")
    if good:
        line += f": {length:.1f} s of audio in {seconds:.2f} s ({length / max(seconds, 1e-3):.3g} x real time)"
    if scored:
        line += f"; WER {100 * summary['wer']:.2f} %"
    typer.echo(line)
