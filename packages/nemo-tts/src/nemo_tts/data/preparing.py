"""Pitch and energy of a corpus, found on all cores and kept in files."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nemo_core.audio.files import read_audio
from nemo_core.audio.manifest import Manifest, ManifestEntry, write_manifest
from nemo_core.errors import DataError

if TYPE_CHECKING:
    from nemo_tts.data.features import SpeechFeatures

__all__ = ["Prepared", "prepare_features"]

_SHOWN = 5


@dataclass(frozen=True)
class Prepared:
    """What is known of a prepared corpus.

    Attributes:
        utterances: How many there are.
        made: How many of them were not there before.
        seconds: Length of the audio.
        voiced: Share of frames with a voice.
        pitch_mean: Mean of the pitch of those, Hz.
        pitch_std: Deviation of it, Hz.
        speakers: Names of the voices.
        skipped: Utterances that could not be read, with the reason.
    """

    utterances: int
    made: int
    seconds: float
    voiced: float
    pitch_mean: float
    pitch_std: float
    speakers: list[str]
    skipped: list[str]


def prepare_features(
    manifests: Sequence[str | Path],
    output: str | Path,
    features: SpeechFeatures,
    *,
    jobs: int | None = None,
    skip_bad: bool = False,
    where: Mapping[str, str] | None = None,
    progress: Callable[[float], None] = lambda done: None,
) -> Prepared:
    """Find pitch and energy of all utterances, and write them with a manifest that names them.

    What is there already, made with the same settings of the same audio, is kept: a run that was cut off goes on.
    ``manifest.jsonl`` and ``statistics.json`` are written at the end.

    Args:
        manifests: Of the corpus.
        output: Folder for the features.
        features: How to find them.
        jobs: Processes; as many as there are cores if not given.
        skip_bad: Leave out utterances that cannot be read, instead of giving up.
        where: Take only the utterances whose fields say this, such as ``{"split": "train"}``.
        progress: Called with 1 for each utterance of the manifests.

    Raises:
        DataError: A manifest or audio cannot be read, no utterance is as ``where`` says, or nowhere is a voice.
    """
    everything = Manifest([Path(each) for each in manifests])
    entries = [entry for entry in everything if _fits(entry, where or {})]
    if not entries:
        wish = ", ".join(f"{name}={value}" for name, value in (where or {}).items())
        raise DataError(
            f"none of {len(everything)} utterances has {wish}", hint="see what the lines of the manifest say"
        )
    progress(len(everything) - len(entries))
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [_Task(entry, folder / _place(entry, features), features) for entry in entries]
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    voiced = _Moments()
    frames = made = 0
    seconds = 0.0
    for task, done in _mapped(tasks, jobs or os.cpu_count() or 1):
        progress(1)
        if isinstance(done, DataError):
            if not skip_bad:
                raise done
            skipped.append(done.message)
            continue
        made += done.made
        seconds += done.seconds
        frames += done.frames
        voiced.add(done.moments)
        rows.append(_row(task.entry, done.seconds, task.path, folder))
    if voiced.count == 0:
        raise DataError(
            f"no voice in {len(entries)} utterances ({'; '.join(skipped[:_SHOWN]) or 'all were read'})",
            hint="check the audio, and pitch_fmin and pitch_fmax of the recipe",
        )
    speakers = sorted({str(entry.speaker) for entry in entries if entry.speaker is not None})
    mean, std = voiced.mean_and_std()
    found = Prepared(len(rows), made, seconds, voiced.count / frames, mean, std, speakers, skipped)
    write_manifest(folder / "manifest.jsonl", rows)
    _write(folder / "statistics.json", (json.dumps(asdict(found), indent=1, ensure_ascii=False) + "\n").encode())
    return found


@dataclass(frozen=True)
class _Task:
    entry: ManifestEntry
    path: Path
    features: SpeechFeatures


def _fits(entry: ManifestEntry, where: Mapping[str, str]) -> bool:
    fields = {"text": entry.text, "speaker": entry.speaker, "lang": entry.lang, **entry.extra}
    return all(str(fields.get(name)) == value for name, value in where.items())


class _Moments:
    """Count, sum and sum of squares of the voiced frames' pitch."""

    def __init__(self, pitch: np.ndarray | None = None) -> None:
        voiced = np.zeros(0) if pitch is None else pitch[pitch > 0].astype(np.float64)
        self.count, self.sum, self.squares = len(voiced), float(voiced.sum()), float((voiced**2).sum())

    def add(self, other: _Moments) -> None:
        self.count += other.count
        self.sum += other.sum
        self.squares += other.squares

    def mean_and_std(self) -> tuple[float, float]:
        mean = self.sum / self.count
        return round(mean, 4), round(math.sqrt(max(self.squares / self.count - mean**2, 0.0)), 4)


@dataclass(frozen=True)
class _Done:
    made: bool
    seconds: float
    frames: int
    moments: _Moments


def _work(task: _Task) -> _Done | DataError:
    rate = task.features.preprocessor.sample_rate
    entry = task.entry
    try:
        audio, _ = read_audio(entry.audio, sample_rate=rate, offset=entry.offset, duration=entry.duration)
    except DataError as error:
        return DataError(f"{entry.where}: {error.message}", hint=error.hint)
    try:
        with np.load(task.path, allow_pickle=False) as kept:
            features = kept["features"]
        made = features.shape != (2, task.features.frames(len(audio)))
    except (OSError, ValueError, KeyError):
        made = True
    if made:
        features = task.features(audio)
        task.path.parent.mkdir(parents=True, exist_ok=True)
        _save(task.path, features, task.features.key())
    return _Done(made, len(audio) / rate, features.shape[1], _Moments(features[0]))


def _mapped(tasks: Sequence[_Task], jobs: int) -> Iterator[tuple[_Task, _Done | DataError]]:
    if jobs == 1 or len(tasks) == 1:
        yield from ((task, _work(task)) for task in tasks)
        return
    # A copy of this process starts at once; elsewhere it has to import torch first.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(min(jobs, len(tasks)), context, initializer=_one_thread)
    try:
        yield from zip(tasks, pool.map(_work, tasks, chunksize=4), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _place(entry: ManifestEntry, features: SpeechFeatures) -> str:
    """Return where the features of an utterance go: a name that changes with the audio and the settings."""
    try:
        status = entry.audio.stat()
        state = [status.st_size, status.st_mtime_ns]
    except OSError:
        state = []
    said = json.dumps([str(entry.audio.absolute()), entry.offset, entry.duration, *state, features.key()])
    digest = hashlib.sha256(said.encode()).hexdigest()[:24]
    return f"{digest[:2]}/{digest[2:]}.npz"


def _row(entry: ManifestEntry, seconds: float, path: Path, folder: Path) -> dict[str, Any]:
    known = {"text": entry.text, "speaker": entry.speaker, "lang": entry.lang}
    row = {
        "audio_filepath": os.path.relpath(entry.audio, folder),
        "duration": round(seconds, 4),
        **{name: value for name, value in known.items() if value is not None},
        **entry.extra,
        "features_filepath": str(path.relative_to(folder)),
    }
    return {**row, "offset": entry.offset} if entry.offset else row


def _save(path: Path, features: np.ndarray, key: str) -> None:
    import io

    content = io.BytesIO()
    np.savez(content, features=features, key=np.array(key))
    _write(path, content.getvalue())


def _write(path: Path, content: bytes) -> None:
    """Write a file whole, or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
