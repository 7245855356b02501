"""``nemo transcribe``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_core.cli.audio import BatchSizeOption, ChannelOption, channel_of
from nemo_core.cli.devices import DeviceOption, device_of
from nemo_core.cli.output import (
    JsonOption,
    OverwriteOption,
    print_json,
    print_problem,
    progress,
    table,
)
from nemo_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nemo_asr.decoding import Hypothesis
    from nemo_asr.transcription.formats import Format

__all__ = ["transcribe"]


def transcribe(
    model: Annotated[str, typer.Argument(help="Model archive (.nemo), or name of a published model.")],
    audio: Annotated[list[str], typer.Argument(help="Files, folders, globs in quotes, or manifests (.jsonl).")],
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Say when each word is spoken.")] = False,
    format: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="txt, json, ctm, srt, vtt or textgrid; with -o also several, by default txt,json. Without -o it is "
            "printed.",
        ),
    ] = None,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="AUDIO are manifests, whatever they are called.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FOLDER", help="For a file per audio and format; json and ctm: for all."
        ),
    ] = None,
    batch_size: BatchSizeOption = 16,
    chunk_seconds: Annotated[
        float | None, typer.Option(min=1, metavar="N", help="Cut longer audio, where it is quiet, into such pieces.")
    ] = None,
    decoder: Annotated[
        str | None, typer.Option(metavar="ctc|transducer", help="Which decoder of a hybrid model is used.")
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="KEY=VALUE", help="What a model that takes prompts is told; can be repeated."),
    ] = None,
    channel: ChannelOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Turn speech into text.

    Where a manifest says what is spoken, that is shown beside what was heard, with the word error rate. Exit code 1 if
    an audio could not be transcribed; the others are.

    Example:
      nemo transcribe runs/spoken_digits/latest/model.nemo a.wav "calls/*.mp3" --format srt -o subtitles
    """
    from nemo_core.audio.sources import find_sources

    sources = find_sources([_manifest(path) for path in audio] if manifest else list(audio))
    formats = _formats(format, output, json, len(sources))
    files = None
    if output is not None:
        from nemo_asr.transcription.writers import OutputFolder

        files = OutputFolder(output, [source.name for source in sources], formats, overwrite=overwrite)

    from nemo_asr.models.loading import restore

    recognizer = restore(model, map_location=device_of(device))
    if decoder is not None:
        _choose_decoder(recognizer, decoder)
    started = time.perf_counter()
    with progress("Transcribing", total=len(sources), unit="files") as advance:
        hypotheses = recognizer.transcribe(
            sources,
            batch_size=batch_size,
            timestamps=timestamps or any(each.timed for each in formats),
            chunk_seconds=chunk_seconds,
            channel=channel_of(channel),
            prompt=_fields(prompt or []),
            progress=advance,
        )
    seconds = time.perf_counter() - started

    if files is not None:
        files.write(hypotheses)
    summary = _summary(hypotheses, seconds)
    if json:
        from nemo_asr.transcription.formats import record

        print_json({"transcripts": [record(each) for each in hypotheses], **summary})
    elif files is None and formats:
        _print(hypotheses, formats[0])
    else:
        _show(hypotheses, summary, timestamps)
    failed = [hypothesis for hypothesis in hypotheses if hypothesis.error is not None]
    for hypothesis in failed:
        print_problem("error", hypothesis.error.message, hypothesis.error.hint)
    if failed:
        raise typer.Exit(1)


def _formats(given: list[str] | None, output: Path | None, json: bool, audios: int) -> list[Format]:
    """Return what is to be written, or, if there is no folder to write to, printed."""
    from nemo_asr.transcription.formats import find_format

    names = [name.strip() for each in given or () for name in each.split(",")]
    if output is None and (len(names) > 1 or (names and json)):
        raise ConfigError("only one format can be printed", hint="give a folder with -o")
    if output is not None and not names:
        names = ["txt", "json"]
    formats = [find_format(name) for name in dict.fromkeys(names)]
    if output is None and audios > 1 and any(each.one_audio for each in formats):
        raise ConfigError(f"{names[0]} of {audios} audios cannot be printed", hint="give a folder with -o")
    return formats


def _print(hypotheses: list[Hypothesis], format: Format) -> None:
    from nemo_asr.transcription.writers import render

    good = [hypothesis for hypothesis in hypotheses if hypothesis.error is None or format.name == "json"]
    if good:
        typer.echo(render(good, format), nl=False)


def _choose_decoder(recognizer: Any, decoder: str) -> None:
    from nemo_asr.models.hybrid import HybridModel

    if not isinstance(recognizer, HybridModel):
        raise ConfigError(f"a {type(recognizer).__name__} has no choice of decoders", hint="leave out --decoder")
    recognizer.decoder = decoder


def _manifest(path: str) -> Any:
    from nemo_core.audio.manifest import Manifest

    return Manifest(path)


def _fields(given: list[str]) -> dict[str, str]:
    """Return what the prompt says.

    >>> _fields(["task=translate", "target_lang=de"])
    {'task': 'translate', 'target_lang': 'de'}
    """
    fields = dict(each.split("=", 1) for each in given if "=" in each)
    if len(fields) < len(given):
        raise DataError(
            f"--prompt {' --prompt '.join(given)}: not one KEY=VALUE for each field", hint="such as --prompt pnc=no"
        )
    return fields


def _summary(hypotheses: list[Hypothesis], seconds: float) -> dict[str, Any]:
    good = [hypothesis for hypothesis in hypotheses if hypothesis.error is None]
    summary: dict[str, Any] = {
        "transcribed": len(good),
        "failed": len(hypotheses) - len(good),
        "audio_seconds": round(sum(hypothesis.duration for hypothesis in good), 2),
        "seconds": round(seconds, 3),
    }
    scored = [(each.reference, each.text) for each in good if each.reference is not None]
    if scored:
        from nemo_asr.metrics import CharErrorRate, WordErrorRate

        for name, metric in (("wer", WordErrorRate()), ("cer", CharErrorRate())):
            metric.update(*map(list, zip(*scored, strict=True)))
            summary[name] = round(float(metric.compute()), 6)
    return summary


def _show(hypotheses: list[Hypothesis], summary: dict[str, Any], timestamps: bool) -> None:
    done = [hypothesis for hypothesis in hypotheses if hypothesis.error is None]
    said = any(hypothesis.reference is not None for hypothesis in done)
    columns = ["audio", "seconds", *(["said"] if said else []), "heard"]
    names = _short_names([hypothesis.source for hypothesis in done])
    rows = []
    for each in done:
        heard = each.text.strip()
        if timestamps:
            heard = " ".join(f"{word.text} [{word.start:.2f}-{word.end:.2f}]" for word in each.words)
        rows.append([names[each.source], round(each.duration, 2), *([each.reference or ""] if said else []), heard])
    if rows:
        table("", columns, rows)
    line = f"{summary['transcribed']} transcribed" + (f", {summary['failed']} failed" if summary["failed"] else "")
    if done:
        speed = summary["audio_seconds"] / max(summary["seconds"], 1e-3)
        line += f": {summary['audio_seconds']:.1f} s of audio in {summary['seconds']:.2f} s ({speed:.3g} x real time)"
    if "wer" in summary:
        line += f"; WER {100 * summary['wer']:.2f} %, CER {100 * summary['cer']:.2f} %"
    typer.echo(line)


def _short_names(paths: list[str]) -> dict[str, str]:
    """Return what the table calls each path: the name of the file, and the folders too where names recur."""
    names = {path: Path(path).name for path in paths}
    return names if len(set(names.values())) == len(names) else {path: path for path in paths}
