"""Utterances of manifests, decoded when they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from nemo_asr.data.batch import Skipped, Utterance
from nemo_core.audio.files import audio_duration, read_audio
from nemo_core.audio.manifest import Manifest
from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError

__all__ = ["SpeechDataset"]

_log = logging.getLogger(__name__)


class SpeechDataset(Configured):
    """Audio and text of the lines of one or more manifests (see :class:`~nemo_core.audio.manifest.Manifest`).

    Args:
        manifest: A manifest, or several.
        sample_rate: Rate of the audio handed out, Hz.
        channel: Which channel of files that have several: a number, or ``average``.
        min_duration: Leave out shorter utterances, seconds.
        max_duration: Leave out longer ones, seconds.
        resample: If false, a file of another rate is bad audio instead of being resampled.
        on_bad_audio: ``raise`` a :class:`~nemo_core.errors.DataError` that names manifest and line, or ``skip`` the
            line, log why and count it (see ``SpeechBatch.skipped``).

    Example:
        >>> import tempfile, soundfile
        >>> from nemo_core.audio.manifest import write_manifest
        >>> folder = Path(tempfile.mkdtemp())
        >>> soundfile.write(folder / "a.wav", np.zeros(8000), 8000)
        >>> write_manifest(folder / "train.jsonl", [{"audio_filepath": "a.wav", "duration": 1.0, "text": "one"}])
        >>> dataset = SpeechDataset(folder / "train.jsonl", sample_rate=16000)
        >>> dataset[0].audio.shape, dataset[0].text, dataset.lengths.tolist()
        ((16000,), 'one', [1.0])
    """

    def __init__(
        self,
        manifest: str | Path | Sequence[str | Path],
        sample_rate: int = 16000,
        *,
        channel: int | str | None = None,
        min_duration: float | None = None,
        max_duration: float | None = None,
        resample: bool = True,
        on_bad_audio: Literal["raise", "skip"] = "raise",
    ) -> None:
        if on_bad_audio not in ("raise", "skip"):
            raise ConfigError(f"on_bad_audio is {on_bad_audio!r}, not 'raise' or 'skip'")
        self.manifest = Manifest(manifest, require_text=True)
        self.sample_rate = sample_rate
        self.channel = channel
        self.resample = resample
        self.on_bad_audio = on_bad_audio
        self._lengths: np.ndarray | None = None
        self._kept = np.arange(len(self.manifest))
        if min_duration is not None or max_duration is not None:
            self._keep_between(min_duration or 0.0, max_duration if max_duration is not None else np.inf)

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Utterance | Skipped:
        line = int(self._kept[index])
        try:
            return self._read(line)
        except DataError as error:
            if self.on_bad_audio == "raise":
                raise
            _log.warning("skipped: %s", error.message)
            return Skipped(error.message)

    @property
    def lengths(self) -> np.ndarray:
        """Seconds of every utterance (N,), from the manifest or else from the header of the file."""
        if self._lengths is None:
            self._lengths = np.array([self._duration(int(line)) for line in self._kept])
        return self._lengths

    def _read(self, line: int) -> Utterance:
        entry = self.manifest[line]
        try:
            audio, _ = read_audio(
                entry.audio,
                sample_rate=self.sample_rate,
                offset=entry.offset,
                duration=entry.duration,
                channel=self.channel,
                resample=self.resample,
            )
        except DataError as error:
            raise DataError(f"{entry.where}: {error.message}", hint=error.hint) from error
        return Utterance(audio, entry.text, entry.where, entry.fields)

    def _duration(self, line: int) -> float:
        try:
            entry = self.manifest[line]
            duration = entry.duration or audio_duration(entry.audio) - entry.offset
        except DataError:
            if self.on_bad_audio == "raise":
                raise
            duration = 0.0
        return max(duration, 1e-3)  # lines that will be skipped need some length to be put into a bucket

    def _keep_between(self, shortest: float, longest: float) -> None:
        lengths = self.lengths
        inside = (lengths >= shortest) & (lengths <= longest)
        if not inside.all():
            dropped = lengths[~inside]
            _log.info("left out %d utterances (%.2f h) by duration", len(dropped), dropped.sum() / 3600)
        self._kept, self._lengths = self._kept[inside], lengths[inside]
