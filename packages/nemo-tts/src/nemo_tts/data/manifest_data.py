"""Utterances of manifests, with pitch and energy from a cache or made when they are first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nemo_core.audio.files import audio_duration, read_audio
from nemo_core.audio.manifest import Manifest, ManifestEntry
from nemo_core.config.configured import Configured
from nemo_core.errors import DataError
from nemo_tts.data.spoken import Spoken

if TYPE_CHECKING:
    from nemo_tts.data.features import SpeechFeatures

__all__ = ["ManifestSpeech", "read_features"]


class ManifestSpeech(Configured):
    """Audio, text, voice and features of the lines of one or more manifests.

    A line has ``audio_filepath`` and ``text`` (or ``normalized_text``, which wins), and may have ``speaker``,
    ``offset``, ``duration``, and ``features_filepath``, which ``nemo tts prepare`` writes. Without the last, pitch and
    energy are found when the line is first read, and kept in memory.

    Args:
        manifest: A manifest, or several.
        features: Finds pitch and energy.
        min_duration: Leave out shorter utterances, seconds.
        max_duration: Leave out longer ones, seconds.
        with_features: Whether pitch and energy are wanted at all; a vocoder does without.

    Raises:
        DataError: A manifest cannot be read, or has no lines within the limits.
    """

    def __init__(
        self,
        manifest: str | Path | Sequence[str | Path],
        features: SpeechFeatures,
        *,
        min_duration: float = 0.1,
        max_duration: float | None = None,
        with_features: bool = True,
    ) -> None:
        self.manifest = Manifest(manifest)
        self.features = features
        self.with_features = with_features
        self._made: dict[int, np.ndarray] = {}
        seconds = np.array([self._seconds(entry) for entry in self.manifest])
        inside = (seconds >= min_duration) & (seconds <= (np.inf if max_duration is None else max_duration))
        self._kept, self.lengths = np.flatnonzero(inside), seconds[inside]
        if not len(self._kept):
            raise DataError(
                f"{manifest}: none of {len(seconds)} utterances is between {min_duration} and {max_duration} s long",
                hint="change min_duration and max_duration",
            )

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Spoken:
        line = int(self._kept[index])
        entry = self.manifest[line]
        text = str(entry.extra.get("normalized_text") or entry.text or "")
        if not text.strip():
            raise DataError(f"{entry.where}: there is no text", hint="add text to the line, or leave the line out")
        audio = self.audio(entry)
        found = self._features(line, entry, audio) if self.with_features else None
        return Spoken(audio, text, found, entry.speaker, entry.where)

    def audio(self, entry: ManifestEntry) -> np.ndarray:
        """Return the samples of a line, at the rate of the features.

        Raises:
            DataError: They cannot be read; the message names manifest and line.
        """
        rate = self.features.preprocessor.sample_rate
        try:
            audio, _ = read_audio(entry.audio, sample_rate=rate, offset=entry.offset, duration=entry.duration)
        except DataError as error:
            raise DataError(f"{entry.where}: {error.message}", hint=error.hint) from error
        return audio

    def _features(self, line: int, entry: ManifestEntry, audio: np.ndarray) -> np.ndarray:
        given = entry.extra.get("features_filepath")
        if given is not None:
            return read_features(_beside(entry, str(given)), self.features, entry.where, len(audio))
        if line not in self._made:
            self._made[line] = self.features(audio)
        return self._made[line]

    def _seconds(self, entry: ManifestEntry) -> float:
        return entry.duration if entry.duration is not None else audio_duration(entry.audio) - entry.offset

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_made": {}}


def read_features(path: Path, features: SpeechFeatures, where: str, samples: int) -> np.ndarray:
    """Return pitch and energy (2, M) that were made earlier.

    Raises:
        DataError: The file is missing or damaged, or was made with other settings.
    """
    hint = "run nemo tts prepare again"
    try:
        with np.load(path, allow_pickle=False) as found:
            key, values = str(found["key"]), found["features"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{where}: {path} cannot be read: {error}", hint=hint) from error
    if key != features.key():
        raise DataError(f"{where}: {path} was made with other settings than the model's", hint=hint)
    frames = features.frames(samples)
    if values.ndim != 2 or values.shape[0] != 2 or abs(values.shape[1] - frames) > 1:
        raise DataError(f"{where}: {path} has {values.shape[-1]} frames, and the audio {frames}", hint=hint)
    fitted: np.ndarray = values[:, :frames]
    return fitted if fitted.shape[1] == frames else np.pad(fitted, ((0, 0), (0, 1)))


def _beside(entry: ManifestEntry, name: str) -> Path:
    path = Path(name)
    return path if path.is_absolute() else Path(entry.where.rpartition(", line ")[0]).parent / path
