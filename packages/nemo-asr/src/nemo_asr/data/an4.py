"""AN4, the alphanumeric database of Carnegie Mellon University: an hour of names, dates and spelling, 1991."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nemo_core.audio.files import audio_duration
from nemo_core.audio.manifest import Manifest
from nemo_core.errors import DataError

__all__ = ["read_an4"]

#: Every so many speakers of the training data, in alphabetical order, one is kept for validation.
_VALIDATION_EVERY = 15
_LINE = re.compile(r"(?:<s>)?\s*(?P<text>[^<(]*?)\s*(?:</s>)?\s*\((?P<id>[^)]+)\)")
_SUFFIXES = (".sph", ".wav", ".flac")


def read_an4(folder: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Return the lines of manifests for ``train``, ``validation`` and ``test``, paths absolute, texts in lower case.

    The split is the official one; validation takes every 15th speaker of the training data, so that none of the three
    has a speaker of another.

    Args:
        folder: AN4 as it is distributed (``etc/an4_train.transcription``, ``wav/...``), or with one
            ``manifest.jsonl`` whose lines have ``speaker`` and ``split``.

    Raises:
        DataError: The folder has neither, or a recording is missing.
    """
    folder = Path(folder).resolve()
    if (folder / "etc/an4_train.transcription").is_file():
        lines = {split: list(_official(folder, split)) for split in ("train", "test")}
    elif (folder / "manifest.jsonl").is_file():
        lines = _from_manifest(folder / "manifest.jsonl")
    else:
        raise DataError(
            f"{folder}: AN4 is not here", hint="the folder that has etc/an4_train.transcription, or manifest.jsonl"
        )
    speakers = sorted({line["speaker"] for line in lines["train"]})
    kept = set(speakers[_VALIDATION_EVERY - 1 :: _VALIDATION_EVERY])
    return {
        "train": [line for line in lines["train"] if line["speaker"] not in kept],
        "validation": [line for line in lines["train"] if line["speaker"] in kept],
        "test": lines["test"],
    }


def _official(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    names = (folder / f"etc/an4_{split}.fileids").read_text(encoding="utf-8").split()
    paths = {name.rpartition("/")[2]: folder / "wav" / name for name in names}
    transcription = folder / f"etc/an4_{split}.transcription"
    for number, line in enumerate(transcription.read_text(encoding="utf-8").splitlines(), start=1):
        found = _LINE.fullmatch(line.strip())
        if found is None or found["id"] not in paths:
            raise DataError(f"{transcription}, line {number}: is no text with the name of a recording", hint=line)
        stem = paths[found["id"]]
        audio = next((path for path in map(stem.with_suffix, _SUFFIXES) if path.is_file()), None)
        if audio is None:
            raise DataError(f"{transcription}, line {number}: there is no recording {stem}", hint=", ".join(_SUFFIXES))
        yield {
            "audio_filepath": str(audio),
            "duration": round(audio_duration(audio), 4),
            "text": found["text"].lower(),
            "speaker": stem.parent.name,
        }


def _from_manifest(path: Path) -> dict[str, list[dict[str, Any]]]:
    lines: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    for entry in Manifest(path, require_text=True):
        split = entry.extra.get("split")
        if split not in lines or entry.speaker is None:
            raise DataError(f"{entry.where}: has no speaker, or a split that is neither train nor test")
        fields = {
            "audio_filepath": str(entry.audio),
            "duration": entry.duration or round(audio_duration(entry.audio), 4),
            "text": (entry.text or "").lower(),
            "speaker": entry.speaker,
        }
        lines[split].append(fields)
    return lines
