"""``nemo synthesize``."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_core.cli.devices import DeviceOption, device_of
from nemo_core.cli.output import JsonOption, OverwriteOption, print_json, progress, refuse_overwrite
from nemo_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nemo_tts.synthesis import Prosody, Speech, Synthesizer

__all__ = ["synthesize"]


def synthesize(
    model: Annotated[str, typer.Argument(help="Acoustic model: archive (.nemo), run folder, or published name.")],
    text: Annotated[list[str] | None, typer.Argument(help="What to say; several texts make several files.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PATH", help="WAV (or FLAC, OGG); a folder for several texts."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Texts, one a line; - reads standard input.")
    ] = None,
    vocoder: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Makes audio of spectrograms. [default: griffin-lim]")
    ] = None,
    speaker: Annotated[str | None, typer.Option(metavar="NAME", help="Voice: name or number.")] = None,
    pace: Annotated[float, typer.Option(metavar="X", help="2 is twice as fast.")] = 1.0,
    pitch_shift: Annotated[float, typer.Option(metavar="N", help="Semitones up (or, below 0, down).")] = 0.0,
    pitch_range: Annotated[
        float, typer.Option(metavar="X", help="How lively: 1 is as trained, 0 a monotone, 2 twice as far up and down.")
    ] = 1.0,
    energy_shift: Annotated[
        float, typer.Option(metavar="N", help="Decibels louder, by more effort of the voice (needs energy).")
    ] = 0.0,
    word: Annotated[
        list[str] | None,
        typer.Option(metavar="N:KEY=X,...", help="Say word N otherwise, as in 2:pace=0.7,pitch-shift=3; repeatable."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw spectrogram, tokens and pitch (of the first text).")
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Write sentence by sentence, and say when the first was there.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Sentences that are computed together.")] = 8,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Turn text into speech.

    Example:
      nemo synthesize fastpitch.nemo --vocoder hifigan.nemo "Dr. Lee paid $3.50." -o out.wav --pace 1.1 --plot out.png
    """
    texts = [*(text or []), *(_read(file) if file is not None else [])]
    if not texts:
        raise ConfigError("there is no text", hint="give it behind the model, or in a file with --file")
    targets = _targets(output, len(texts))
    for path in [*targets, *([plot] if plot is not None else [])]:
        refuse_overwrite(path, overwrite)

    from nemo_tts.synthesis import Prosody, load_synthesizer

    usual = Prosody(pace, pitch_shift, pitch_range, energy_shift)
    voice: dict[str, Any] = {"speaker": speaker, **asdict(usual), "words": _words(word or [])}
    if voice["words"] and len(texts) > 1:
        raise ConfigError("--word takes one text", hint="leave it out, or give one text")
    speaks = load_synthesizer(model, vocoder, device=device_of(device))
    if stream:
        if len(texts) > 1:
            raise ConfigError("--stream takes one text", hint="leave it out, or give one text")
        _stream(speaks, texts[0], targets[0], voice, json)
        return
    started = time.perf_counter()
    with progress("Speaking", total=len(texts), unit="texts") as advance:
        made: list[Speech] = []
        # In groups, so that what was made is on disk when something later goes wrong.
        for start in range(0, len(texts), 4 * batch_size):
            group = speaks.synthesize(texts[start : start + 4 * batch_size], batch_size=batch_size, **voice)
            for speech, path in zip(group, targets[start:], strict=False):
                speech.save(path)
                advance(1)
            made += group
    seconds = time.perf_counter() - started
    if plot is not None:
        from nemo_tts.synthesis.pictures import draw_speech

        draw_speech(made[0], plot)
    _show(made, targets, seconds, json)


def _words(given: list[str]) -> dict[int, Prosody]:
    from nemo_tts.synthesis import Prosody

    found = {}
    for each in given:
        number, colon, wishes = each.partition(":")
        if not colon or not number.strip().isdecimal():
            raise ConfigError(f"--word {each!r} names no word", hint="write it like 2:pace=0.7,pitch-shift=3")
        found[int(number)] = Prosody.parse(wishes)
    return found


def _stream(speaks: Synthesizer, text: str, target: Path, voice: dict[str, Any], json: bool) -> None:
    """Write a WAV that grows sentence by sentence."""
    import soundfile as sf

    started = time.perf_counter()
    first = 0.0
    sentences = samples = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    pieces = speaks.stream(text, **voice)
    opening = next(pieces)  # what is wrong with the text is said before there is a file
    try:
        with sf.SoundFile(target, "w", speaks.sample_rate, 1) as growing:
            for speech in (opening, *pieces):
                growing.write(speech.audio.clip(-1, 1))
                growing.flush()
                first = first or time.perf_counter() - started
                sentences += 1
                samples += len(speech.audio)
                if not json:
                    typer.echo(f"{time.perf_counter() - started:7.2f} s  {speech.text}")
    except (OSError, TypeError, sf.LibsndfileError) as error:
        raise DataError(f"{target} cannot be written: {error}", hint="give a file that ends with .wav") from error
    seconds = time.perf_counter() - started
    length = samples / speaks.sample_rate
    if json:
        print_json(
            {"path": str(target), "sentences": sentences, "seconds": length, "first_audio": first, "took": seconds}
        )
        return
    typer.echo(f"{target}: {length:.2f} s in {seconds:.2f} s; the first sentence after {first:.2f} s")


def _show(made: list[Speech], targets: list[Path], seconds: float, json: bool) -> None:
    length = sum(speech.duration for speech in made)
    rows = [
        {"path": str(path), "text": speech.text, "seconds": round(speech.duration, 3), "tokens": len(speech.symbols)}
        for speech, path in zip(made, targets, strict=True)
    ]
    if json:
        print_json({"speech": rows, "seconds": length, "took": seconds, "real_time_factor": length / seconds})
        return
    for row in rows:
        typer.echo(f"{row['path']}  {row['seconds']:.2f} s  {row['text']}")
    typer.echo(f"{length:.2f} s of audio in {seconds:.2f} s ({length / seconds:.0f} x real time)")


def _targets(output: Path | None, count: int) -> list[Path]:
    if output is None:
        output = Path("speech.wav") if count == 1 else Path("speech")
    if count == 1 and output.suffix:
        return [output]
    if output.suffix:
        raise ConfigError(f"{count} texts do not go into one file {output}", hint="give -o FOLDER")
    return [output / f"{number:0{len(str(count))}}.wav" for number in range(1, count + 1)]


def _read(path: Path) -> list[str]:
    import sys

    try:
        content = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="texts are UTF-8, one a line") from error
    return [line.strip() for line in content.splitlines() if line.strip()]
