"""What can be transcribed: paths, globs, folders, manifests, arrays, tensors, bytes and open files."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nemo_core.audio.files import AUDIO_SUFFIXES, audio_duration, describe, prepare_samples, read_audio
from nemo_core.audio.manifest import Manifest, ManifestEntry
from nemo_core.errors import DataError

__all__ = ["MANIFEST_SUFFIXES", "Source", "find_sources", "unique_names"]

MANIFEST_SUFFIXES = frozenset({".jsonl", ".json"})


@dataclass(frozen=True, slots=True)
class Source:
    """One audio to transcribe.

    Attributes:
        name: What messages and results call it.
        audio: A path, bytes, an open binary file, or samples.
        rate: Rate of samples, Hz; None where the file knows.
        offset: Where to start, seconds.
        span: How much to read, seconds; None for all.
        text: What is said, where a manifest says so.
        error: What is wrong with it, where that is known already.
        fields: What else a manifest says of it.
    """

    name: str
    audio: Any
    rate: int | None = None
    offset: float = 0.0
    span: float | None = None
    text: str | None = None
    error: DataError | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def duration(self) -> float:
        """Return seconds, without decoding; 0 where that cannot be told."""
        if self.span is not None:
            return self.span
        if isinstance(self.audio, np.ndarray):
            return self.audio.shape[0] / (self.rate or 1) if self.audio.ndim else 0.0
        if not isinstance(self.audio, (str, os.PathLike)):
            return 0.0  # looking into an open file would move its position
        try:
            return audio_duration(Path(self.audio)) - self.offset
        except DataError:
            return 0.0

    def read(self, sample_rate: int, channel: int | str | None) -> np.ndarray:
        """Return samples (T,) at ``sample_rate``.

        Raises:
            DataError: The audio is missing or damaged.
        """
        if self.error is not None:
            raise self.error
        if isinstance(self.audio, np.ndarray):
            return prepare_samples(self.audio, self.rate or sample_rate, sample_rate, channel=channel, name=self.name)
        return read_audio(self.audio, sample_rate=sample_rate, offset=self.offset, duration=self.span, channel=channel)[
            0
        ]


def find_sources(audio: Any, *, sample_rate: int | None = None) -> list[Source]:
    """Return every audio that ``audio`` stands for, in order; what a folder or a glob holds comes sorted by name.

    Args:
        audio: A path, glob, folder, manifest, bytes, open binary file, array, tensor, ``(samples, rate)``, or a list of
            any of these.
        sample_rate: Rate of arrays and tensors that come without one, Hz; None: that of the model.

    Raises:
        DataError: Nothing was found, or something is of no kind that can be transcribed.

    Example:
        >>> [source.name for source in find_sources([np.zeros(8000), (np.zeros(100), 8000)])]
        ['audio 0', 'audio 1']
    """
    items = audio if isinstance(audio, list) else [audio]
    sources = [source for place, item in enumerate(items) for source in _expand(item, place, sample_rate)]
    if not sources:
        raise DataError("there is nothing to transcribe")
    return sources


def unique_names(sources: Sequence[str]) -> list[str]:
    """Return a name for the text of each audio: that of its file, where it recurs with the folder, then with a number.

    Example:
        >>> unique_names(["x/a.wav", "b.wav", "y/a.wav", "y/a.mp3"])
        ['x-a', 'b', 'y-a', 'y-a-2']
    """
    stems = [Path(source).stem for source in sources]
    recurring = Counter(stems)
    names = [
        stem if recurring[stem] == 1 else "-".join(Path(source).with_suffix("").parts[-2:])
        for source, stem in zip(sources, stems, strict=True)
    ]
    unique: dict[str, int] = {}  # names given so far, each with the number its next namesake gets
    for name in names:
        candidate, number = name, unique.get(name, 2)
        while candidate in unique:
            candidate, number = f"{name}-{number}", number + 1
        unique[name] = number
        unique.setdefault(candidate, 2)
    return list(unique)


def _expand(item: Any, place: int, sample_rate: int | None) -> Iterator[Source]:
    if isinstance(item, Source):
        yield item
    elif isinstance(item, ManifestEntry):
        yield Source(
            str(item.audio), item.audio, offset=item.offset, span=item.duration, text=item.text, fields=item.fields
        )
    elif isinstance(item, Manifest):
        yield from _lines(item)
    elif isinstance(item, (str, os.PathLike)):
        yield from _paths(os.fspath(item))
    elif isinstance(item, (bytes, bytearray, memoryview)) or hasattr(item, "read"):
        name = describe(item) if getattr(item, "name", None) else f"audio {place}"
        yield Source(name, item)
    elif isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], int):
        yield Source(f"audio {place}", _samples(item[0], place), rate=item[1])
    else:
        yield Source(f"audio {place}", _samples(item, place), rate=sample_rate)


def _paths(given: str) -> Iterator[Source]:
    path = Path(given)
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
        if not inside:
            raise DataError(f"{given}: there is no audio in this folder")
        yield from (Source(str(file), file) for file in inside)
    elif path.suffix.lower() in MANIFEST_SUFFIXES:
        yield from _lines(Manifest(path))
    elif not path.exists() and glob.has_magic(given):
        found = sorted(glob.glob(given, recursive=True))
        if not found:
            raise DataError(f"{given}: no file matches")
        yield from (Source(file, Path(file)) for file in found)
    else:
        yield Source(given, path)


def _lines(manifest: Manifest) -> Iterator[Source]:
    for index in range(len(manifest)):
        try:
            entry = manifest[index]
        except DataError as error:
            yield Source(manifest.where(index), None, error=error)
        else:
            yield from _expand(entry, index, None)


def _samples(item: Any, place: int) -> np.ndarray:
    if hasattr(item, "detach"):
        item = item.detach().cpu()
        item = item.float().numpy() if item.is_floating_point() else item.numpy()
    if not isinstance(item, (np.ndarray, list, tuple)):
        raise DataError(
            f"audio {place}: {type(item).__name__} cannot be transcribed",
            hint="give paths, globs, folders, manifests, bytes, open files, arrays or tensors",
        )
    array = np.asarray(item)
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise DataError(f"audio {place}: an array of {array.dtype} is not audio", hint="give numbers in [-1, 1]")
    return array
