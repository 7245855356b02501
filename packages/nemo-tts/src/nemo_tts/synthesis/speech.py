"""What synthesis gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nemo_core.errors import DataError

__all__ = ["Speech", "write_wav"]


@dataclass(frozen=True)
class Speech:
    """Speech that was made of a text.

    Attributes:
        audio: Samples (T,), float32 in [-1, 1].
        sample_rate: Of the audio, Hz.
        text: What is said.
        spectrogram: Mel spectrogram (D, M) that the audio was made of.
        symbols: What is spoken, token by token.
        durations: Frames of each of them.
        pitch: Pitch of each of them, Hz, or as the model has it where it knows no more.
        hop_length: Samples of a frame.
        seconds: Time it took to make.
    """

    audio: np.ndarray
    sample_rate: int
    text: str
    spectrogram: np.ndarray
    symbols: list[str] = field(default_factory=list)
    durations: np.ndarray = field(default_factory=lambda: np.zeros(0))
    pitch: np.ndarray = field(default_factory=lambda: np.zeros(0))
    hop_length: int = 256
    seconds: float = 0.0

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        return len(self.audio) / self.sample_rate

    @property
    def real_time_factor(self) -> float:
        """Seconds of audio made in a second."""
        return self.duration / self.seconds if self.seconds > 0 else float("inf")

    def save(self, path: str | Path) -> Path:
        """Write the audio; see :func:`write_wav`."""
        return write_wav(path, self.audio, self.sample_rate)


def write_wav(path: str | Path, audio: np.ndarray, sample_rate: int) -> Path:
    """Write samples as 16-bit audio, in the format that the suffix names (WAV, FLAC, OGG); whole or not at all.

    Raises:
        DataError: It cannot be written.
    """
    import soundfile as sf

    target = Path(path)
    part = target.with_name(f".{target.stem}.part{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sf.write(part, np.clip(audio, -1.0, 1.0), sample_rate)
        part.replace(target)
    except (OSError, ValueError, TypeError, sf.LibsndfileError) as error:
        part.unlink(missing_ok=True)
        raise DataError(f"{target} cannot be written: {error}", hint="give a file that ends with .wav") from error
    return target
