"""Manifests: JSON lines, one utterance each, as NVIDIA NeMo writes them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nemo_core.errors import DataError

__all__ = ["Manifest", "ManifestEntry", "write_manifest"]

_AUDIO_KEYS = ("audio_filepath", "audio_filename")
_TEXT_KEYS = ("text", "normalized_text")
_TEXT_FILE_KEY = "text_filepath"
_LABEL_KEYS = ("label", "command")


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One utterance.

    Attributes:
        audio: Path of the audio file.
        duration: Seconds, or None where the manifest does not say.
        text: What is said, or None where the manifest does not say.
        offset: Where the utterance starts in the file, seconds.
        speaker: Who speaks.
        lang: Language.
        extra: All other fields.
        where: File and line, for messages.
    """

    audio: Path
    duration: float | None = None
    text: str | None = None
    offset: float = 0.0
    speaker: str | None = None
    lang: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""

    @property
    def fields(self) -> dict[str, Any]:
        """All fields that say how the utterance is to be understood: the language, and those that have no attribute."""
        return {**({} if self.lang is None else {"lang": self.lang}), **self.extra}


class Manifest(Sequence[ManifestEntry]):
    """The entries of one or more manifests, read from disk when they are asked for.

    Only the place of each line is held in memory (16 bytes an utterance), so that a manifest of millions of lines costs
    little, in this process and in each loading worker.

    Relative audio paths are taken from the folder of their manifest. Blank lines are passed over. A line needs
    ``audio_filepath`` (or ``audio_filename``); ``text`` may also be called ``normalized_text``, or be in a file that
    ``text_filepath`` names. Where there is none, the ``label`` (or ``command``) of the utterance stands in for it.

    Args:
        paths: A manifest, or several.
        require_text: Whether a line without text is an error.

    Raises:
        DataError: A manifest is missing or has no lines, or, when an entry is read, a line is not JSON or lacks a
            field; the message names the file and the line.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "train.jsonl"
        >>> _ = path.write_text('{"audio_filepath": "a.wav", "duration": 1.5, "text": "hello"}')
        >>> entry = Manifest(path)[0]
        >>> entry.text, entry.duration, entry.audio == path.parent / "a.wav"
        ('hello', 1.5, True)
    """

    def __init__(self, paths: str | Path | Sequence[str | Path], *, require_text: bool = False) -> None:
        given = [paths] if isinstance(paths, (str, Path)) else list(paths)
        self.paths = [Path(path) for path in given]
        self.require_text = require_text
        places = [_index(path) for path in self.paths]
        self._places = np.concatenate([np.zeros((0, 2), np.int64), *places])
        self._bounds = np.cumsum([len(place) for place in places])
        if len(self._places) == 0:
            raise DataError(f"{', '.join(map(str, self.paths)) or 'manifest'}: no utterances")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        path = self._path(index)
        with path.open("rb") as file:
            file.seek(self._places[index, 0])
            line = file.readline()
        return self._parse(path, index, line)

    def __iter__(self) -> Iterator[ManifestEntry]:
        index = 0
        for path, end in zip(self.paths, self._bounds, strict=True):
            with path.open("rb") as file:
                while index < end:
                    file.seek(self._places[index, 0])
                    yield self._parse(path, index, file.readline())
                    index += 1

    def durations(self) -> np.ndarray:
        """Return the seconds of every entry (N,); an entry without is an error that names file and line."""
        durations = np.empty(len(self))
        for index, entry in enumerate(self):
            if entry.duration is None:
                raise DataError(f"{entry.where}: has no duration", hint="batches by length need one in every line")
            durations[index] = entry.duration
        return durations

    def where(self, index: int) -> str:
        """Return file and line of an entry."""
        return f"{self._path(index)}, line {self._places[index, 1]}"

    def _path(self, index: int) -> Path:
        return self.paths[int(np.searchsorted(self._bounds, index, side="right"))]

    def _parse(self, path: Path, index: int, line: bytes) -> ManifestEntry:
        try:
            fields = json.loads(line)
        except ValueError as error:
            problem = getattr(error, "msg", "not UTF-8")
            raise DataError(f"{self.where(index)}: is not JSON ({problem})", hint=_excerpt(line)) from None
        if not isinstance(fields, dict):
            raise DataError(f"{self.where(index)}: is not a JSON object", hint=_excerpt(line))
        try:
            return self._entry(path, index, fields)
        except _FieldError as error:
            raise DataError(f"{self.where(index)}: {error}", hint=_excerpt(line)) from None

    def _entry(self, path: Path, index: int, fields: dict[str, Any]) -> ManifestEntry:
        audio = next((fields.pop(key) for key in _AUDIO_KEYS if key in fields), None)
        if not isinstance(audio, str) or not audio:
            raise _FieldError("has no audio_filepath")
        text = next((fields.pop(key) for key in _TEXT_KEYS if key in fields), None)
        if text is None and _TEXT_FILE_KEY in fields:
            text = _read_text(path.parent / str(fields.pop(_TEXT_FILE_KEY)))
        if text is None:
            text = next((str(fields.pop(key)) for key in _LABEL_KEYS if fields.get(key) is not None), None)
        if text is None and self.require_text:
            raise _FieldError("has no text")
        if text is not None and not isinstance(text, str):
            raise _FieldError(f"text is {text!r}, not a string")
        return ManifestEntry(
            audio=path.parent / audio,  # an absolute path stays as it is
            duration=_seconds(fields, "duration"),
            text=text,
            offset=_seconds(fields, "offset") or 0.0,
            speaker=_string(fields, "speaker"),
            lang=_string(fields, "lang"),
            extra=fields,
            where=self.where(index),
        )


class _FieldError(ValueError):
    """A field of a line is missing or of the wrong kind; the caller knows file and line."""


def write_manifest(path: str | Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write ``entries`` as JSON lines.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "test.jsonl"
        >>> write_manifest(path, [{"audio_filepath": "a.wav", "text": "grün"}])
        >>> Manifest(path)[0].text
        'grün'
    """
    lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    Path(path).write_text(lines, encoding="utf-8")


def _index(path: Path) -> np.ndarray:
    """Return where each line that is not blank starts, and its number: (N, 2)."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such manifest" if not path.exists() else f"{path}: is not a file")
    places, byte = [], 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                places.append((byte, number))
            byte += len(line)
    return np.asarray(places, dtype=np.int64).reshape(-1, 2)


def _seconds(fields: dict[str, Any], key: str) -> float | None:
    value = fields.pop(key, None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise _FieldError(f"{key} is {value!r}, not a number of seconds")
    return float(value)


def _string(fields: dict[str, Any], key: str) -> str | None:
    value = fields.pop(key, None)
    return None if value is None else str(value)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _FieldError(f"text_filepath {path} cannot be read ({error})") from None


def _excerpt(line: bytes) -> str:
    text = line.decode("utf-8", errors="replace").strip()
    return "the line is " + (text if len(text) <= 120 else text[:117] + "...")
