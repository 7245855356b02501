"""The layouts that corpora of synthesis are published in, as manifests."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from nemo_core.audio.files import audio_duration
from nemo_core.audio.manifest import write_manifest
from nemo_core.errors import DataError

__all__ = ["LAYOUTS", "CorpusManifest", "corpus_manifest"]

_SHOWN = 5
_SYLLABLE = re.compile(r"[a-zü:]+[1-6]")
_SPEAKER = re.compile(r"SSB\d{4}")


@dataclass(frozen=True)
class CorpusManifest:
    """What became of a corpus.

    Attributes:
        utterances: Lines of the manifest.
        seconds: Length of the audio.
        speakers: Names of the voices, sorted.
        skipped: Lines that were left out, with the reason.
    """

    utterances: int
    seconds: float
    speakers: list[str]
    skipped: list[str] = field(default_factory=list)


class _Layout(NamedTuple):
    listing: str
    read: Callable[[str], dict[str, Any]]
    summary: str


def corpus_manifest(layout: str, folder: str | Path, output: str | Path, *, skip_bad: bool = False) -> CorpusManifest:
    """Write the manifest of a corpus.

    Args:
        layout: One of :data:`LAYOUTS`.
        folder: Holds the list of texts and the folder of audio.
        output: Manifest to write; paths of audio are relative to it.
        skip_bad: Leave out lines that cannot be taken, instead of giving up.

    Raises:
        DataError: There is no list of texts, or lines of it are not as they should be; the message names them.
    """
    root, target = Path(folder), Path(output)
    form = LAYOUTS[layout]
    index = root / form.listing
    if not index.is_file():
        inner = sorted(str(each.parent) for each in root.glob(f"*/{form.listing}"))
        hint = f"give {' or '.join(inner)}" if inner else f"give the folder that holds {form.listing}"
        raise DataError(f"{root} has no {form.listing}, which the layout {layout} needs", hint=hint)
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for number, line in _lines(index):
        try:
            row = form.read(line)
            audio = _audio(root / row.pop("audio"))
            path = os.path.relpath(audio, target.parent)
            rows.append({"audio_filepath": path, "duration": round(audio_duration(audio), 4), **row})
        except DataError as error:
            problems.append(f"line {number}: {error.message}")
    if problems and not skip_bad:
        shown = "; ".join(problems[:_SHOWN]) + (" ..." if len(problems) > _SHOWN else "")
        raise DataError(
            f"{index}: {len(problems)} of {len(rows) + len(problems)} lines cannot be taken: {shown}",
            hint="--skip-bad leaves them out",
        )
    if not rows:
        raise DataError(f"{index}: there is no line that can be taken: {'; '.join(problems[:_SHOWN]) or 'it is empty'}")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(target, rows)
    speakers = sorted({row["speaker"] for row in rows})
    return CorpusManifest(len(rows), sum(row["duration"] for row in rows), speakers, problems)


def _ljspeech(line: str) -> dict[str, Any]:
    name, *texts = line.split("|")
    if len(texts) not in (1, 2) or not texts[0].strip():
        raise DataError(f"{line[:60]!r} is not name|text or name|text|normalised text")
    row = {"audio": f"wavs/{name.strip()}", "text": texts[0].strip(), "speaker": "ljspeech", "lang": "en"}
    normalized = texts[-1].strip()
    return {**row, "normalized_text": normalized} if len(texts) == 2 and normalized else row


def _sfspeech(line: str) -> dict[str, Any]:
    name, _, text = line.replace("\ufeff", "").partition(" ")
    if not text.strip():
        raise DataError(f"{line[:60]!r} is not a name, a blank and text")
    # Some names in the list have another voice's letters than the files.
    name = name.replace("com_DL", "com_SF")
    return {"audio": f"wavs/{name}", "text": text.strip(), "speaker": "SF", "lang": "zh"}


def _aishell3(line: str) -> dict[str, Any]:
    name, tab, rest = line.partition("\t")
    fields = rest.split()
    speaker = _SPEAKER.match(name)
    if not tab or not speaker:
        raise DataError(f"{line[:60]!r} is not a name such as SSB00050001.wav, a tab, and characters with pinyin")
    characters, syllables = fields[::2], fields[1::2]
    wrong = next((each for each in syllables if not _SYLLABLE.fullmatch(each)), None)
    if not fields or len(characters) != len(syllables) or wrong is not None:
        said = "characters and pinyin are no pairs" if wrong is None else f"{wrong!r} is no pinyin"
        raise DataError(f"{name}: {said}")
    return {
        "audio": f"wav/{speaker.group()}/{name}",
        "text": "".join(characters),
        "speaker": speaker.group(),
        "lang": "zh",
        "pinyin": " ".join(syllables),
    }


#: The layouts by name: which file lists the texts, and what its lines say.
LAYOUTS = {
    "ljspeech": _Layout("metadata.csv", _ljspeech, "metadata.csv (name|text|normalised text), wavs/NAME.wav"),
    "sfspeech": _Layout("text_SF.txt", _sfspeech, "text_SF.txt (name text), wavs/NAME.wav"),
    "aishell3": _Layout("content.txt", _aishell3, "content.txt (name, characters with pinyin), wav/SPEAKER/NAME"),
}


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="it has to be UTF-8") from error
    yield from ((number, line) for number, line in enumerate(content.splitlines(), start=1) if line.strip())


def _audio(path: Path) -> Path:
    """Return the file of an utterance; names may come without a suffix, and audio as FLAC or OGG too."""
    name = path.name.removesuffix(".wav")
    for candidate in (path, *(path.with_name(name + suffix) for suffix in (".wav", ".flac", ".ogg"))):
        if candidate.is_file():
            return candidate
    raise DataError(f"there is no {path if path.suffix else path.with_name(path.name + '.wav')}")
