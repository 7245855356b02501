"""``nemo transcribe``."""

from __future__ import annotations

import json as json_lib
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_core.cli.output import (
    JsonOption,
    OverwriteOption,
    print_json,
    print_problem,
    progress,
    refuse_overwrite,
    table,
)
from nemo_core.errors import DataError

if TYPE_CHECKING:
    from nemo_asr.decoding import Hypothesis
    from nemo_asr.transcription import Source

__all__ = ["transcribe"]


def transcribe(
    model: Annotated[str, typer.Argument(help="Model archive (.nemo), or name of a published model.")],
    audio: Annotated[list[str], typer.Argument(help="Files, folders, globs in quotes, or manifests (.jsonl).")],
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Say when each word is spoken.")] = False,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="AUDIO are manifests, whatever they are called.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="For one text per audio, and transcripts.jsonl."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Audios that are transcribed together.")] = 16,
    channel: Annotated[
        str | None, typer.Option(metavar="N|average", help="Channel of audio that has several: a number, or average.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Turn speech into text.

    Where a manifest says what is spoken, that is shown beside what was heard, with the word error rate. Exit code 1 if
    an audio could not be transcribed; the others are.

    Example:
      nemo transcribe runs/spoken_digits/latest/model.nemo a.wav "calls/*.mp3" --timestamps
    """
    from nemo_asr.transcription.sources import find_sources

    sources = find_sources([_manifest(path) for path in audio] if manifest else list(audio))
    files = _prepare_output(output, sources, overwrite)

    from nemo_asr.models.loading import restore

    recognizer = restore(model, map_location=_device(device))
    started = time.perf_counter()
    with progress("Transcribing", total=len(sources), unit="files") as advance:
        hypotheses = recognizer.transcribe(
            sources, batch_size=batch_size, timestamps=timestamps, channel=_channel(channel), progress=advance
        )
    seconds = time.perf_counter() - started

    pairs = list(zip(sources, hypotheses, strict=True))
    summary = _summary(pairs, seconds)
    if output is not None:
        _write(output, files, pairs)
    if json:
        print_json({"transcripts": [_record(*pair) for pair in pairs], **summary})
    else:
        _show(pairs, summary, timestamps)
    failed = [hypothesis for hypothesis in hypotheses if hypothesis.error is not None]
    for hypothesis in failed:
        print_problem("error", hypothesis.error.message, hypothesis.error.hint)
    if failed:
        raise typer.Exit(1)


def _manifest(path: str) -> Any:
    from nemo_asr.data.manifest import Manifest

    return Manifest(path)


def _channel(given: str | None) -> int | str | None:
    return int(given) if given is not None and given.isdigit() else given


def _device(given: str) -> str:
    if given != "auto":
        return given
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _prepare_output(folder: Path | None, sources: list[Source], overwrite: bool) -> list[Path]:
    """Make the folder, and return the file for the text of each source."""
    if folder is None:
        return []
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file", hint="-o names a folder")
    files = [folder / f"{name}.txt" for name in _unique_names([source.name for source in sources])]
    for file in (folder / "transcripts.jsonl", *files):
        refuse_overwrite(file, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    return files


def _unique_names(paths: list[str]) -> list[str]:
    """Return a name for the text of each audio: that of its file, where it recurs with the folder, then with a number.

    >>> _unique_names(["x/a.wav", "b.wav", "y/a.wav", "y/a.mp3"])
    ['x-a', 'b', 'y-a', 'y-a-2']
    """
    stems = [Path(path).stem for path in paths]
    recurring = Counter(stems)
    names = [
        stem if recurring[stem] == 1 else "-".join(Path(path).with_suffix("").parts[-2:])
        for path, stem in zip(paths, stems, strict=True)
    ]
    unique: dict[str, int] = {}  # names given so far, each with the number its next namesake gets
    for name in names:
        candidate, number = name, unique.get(name, 2)
        while candidate in unique:
            candidate, number = f"{name}-{number}", number + 1
        unique[name] = number
        unique.setdefault(candidate, 2)
    return list(unique)


def _record(source: Source, hypothesis: Hypothesis) -> dict[str, Any]:
    record: dict[str, Any] = {"audio_filepath": hypothesis.source, "duration": round(hypothesis.duration, 4)}
    if source.text is not None:
        record["text"] = source.text
    record["pred_text"] = hypothesis.text
    if hypothesis.error is not None:
        return {**record, "error": hypothesis.error.message}
    record["score"] = round(hypothesis.score, 4)
    if hypothesis.alignment is not None:
        record["words"] = [{"text": word.text, "start": word.start, "end": word.end} for word in hypothesis.words]
    return record


def _summary(pairs: list[tuple[Source, Hypothesis]], seconds: float) -> dict[str, Any]:
    audio = sum(hypothesis.duration for _, hypothesis in pairs)
    failed = sum(hypothesis.error is not None for _, hypothesis in pairs)
    summary: dict[str, Any] = {
        "transcribed": len(pairs) - failed,
        "failed": failed,
        "audio_seconds": round(audio, 2),
        "seconds": round(seconds, 3),
    }
    scored = [(source.text, found.text) for source, found in pairs if source.text is not None and found.error is None]
    if scored:
        from nemo_asr.metrics import CharErrorRate, WordErrorRate

        for name, metric in (("wer", WordErrorRate()), ("cer", CharErrorRate())):
            metric.update(*map(list, zip(*scored, strict=True)))
            summary[name] = round(float(metric.compute()), 6)
    return summary


def _show(pairs: list[tuple[Source, Hypothesis]], summary: dict[str, Any], timestamps: bool) -> None:
    done = [(source, hypothesis) for source, hypothesis in pairs if hypothesis.error is None]
    said = any(source.text is not None for source, _ in done)
    columns = ["audio", "seconds", *(["said"] if said else []), "heard"]
    names = _short_names([hypothesis.source for _, hypothesis in done])
    rows = []
    for source, hypothesis in done:
        heard = hypothesis.text.strip()
        if timestamps:
            heard = " ".join(f"{word.text} [{word.start:.2f}-{word.end:.2f}]" for word in hypothesis.words)
        rows.append(
            [names[hypothesis.source], round(hypothesis.duration, 2), *([source.text or ""] if said else []), heard]
        )
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


def _write(folder: Path, files: list[Path], pairs: list[tuple[Source, Hypothesis]]) -> None:
    lines = [json_lib.dumps(_record(*pair), ensure_ascii=False) for pair in pairs]
    (folder / "transcripts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for file, (_, hypothesis) in zip(files, pairs, strict=True):
        if hypothesis.error is None:
            file.write_text(hypothesis.text.strip() + "\n", encoding="utf-8")
