"""Reading audio: any format of libsndfile, any sample rate, any channel, as float32 in [-1, 1]."""

from __future__ import annotations

import importlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from nemo_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    import soundfile as sf

__all__ = ["AUDIO_SUFFIXES", "audio_duration", "prepare_samples", "read_audio"]

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".caf", ".w64"})

_SUPPORTED = "WAV, FLAC, MP3, OGG, AIFF and AU can be read"


def read_audio(
    source: str | Path | bytes | BinaryIO,
    *,
    sample_rate: int | None = None,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | str | None = None,
    resample: bool = True,
) -> tuple[np.ndarray, int]:
    """Read a file, or part of it, as one channel of float32.

    Args:
        source: Path, content of a file, or an open binary file.
        sample_rate: Resample to this, Hz; None keeps the file's own.
        offset: Where to start, seconds.
        duration: How much to read, seconds; None to the end.
        channel: Number of the channel, or ``average``; files of several channels need it.
        resample: If false, another rate than ``sample_rate`` is an error.

    Returns:
        Samples (T,) and their rate in Hz.

    Raises:
        DataError: The file is missing, empty or damaged, has no samples, has samples that are not finite, or another
            rate or number of channels than asked for.

    Example:
        >>> import io, soundfile
        >>> content = io.BytesIO()
        >>> soundfile.write(content, np.zeros(800), 8000, format="WAV")
        >>> samples, rate = read_audio(content.getvalue(), sample_rate=16000)
        >>> samples.shape, samples.dtype, rate
        ((1600,), dtype('float32'), 16000)
    """
    name = describe(source)
    samples, rate = _decode(source, name, offset, duration)
    if sample_rate is not None and rate != sample_rate and not resample:
        raise DataError(
            f"{name}: its sample rate is {rate} Hz, not {sample_rate} Hz", hint="convert it, or allow resampling"
        )
    target = sample_rate or rate
    return prepare_samples(samples, rate, target, channel=channel, name=name), target


def prepare_samples(
    samples: np.ndarray, rate: int, target_rate: int, *, channel: int | str | None = None, name: str = "audio"
) -> np.ndarray:
    """Return one channel (T,) of ``samples`` (T,) or (T, C), checked, as float32 at ``target_rate``.

    Example:
        >>> prepare_samples(np.ones((4, 2)), 8000, 8000, channel=1).shape
        (4,)
    """
    if samples.ndim == 2:
        samples = _select(samples, channel, name)
    elif samples.ndim != 1:
        raise DataError(f"{name}: {samples.ndim} dimensions", hint="give samples (T,), or (T, C) for several channels")
    elif isinstance(channel, int) and channel != 0:
        raise DataError(f"{name}: there is no channel {channel}, only channel 0")
    if samples.size == 0:
        raise DataError(f"{name}: has no samples")
    if np.issubdtype(samples.dtype, np.integer):
        samples = samples / -float(np.iinfo(samples.dtype).min)
    samples = np.ascontiguousarray(samples, dtype=np.float32)
    finite = np.isfinite(samples)
    if not finite.all():
        first = int(np.argmin(finite))
        raise DataError(f"{name}: sample {first} is {samples[first]}", hint="the file is damaged; write it again")
    if rate != target_rate:
        samples = _library("soxr").resample(samples, rate, target_rate)
    return samples


def audio_duration(source: str | Path | bytes | BinaryIO) -> float:
    """Return the seconds of a file from its header, without decoding it.

    Raises:
        DataError: It is missing or not audio.
    """
    name = describe(source)
    with _open(source, name) as file:
        return float(file.frames / file.samplerate)


def describe(source: object) -> str:
    """Return what messages call ``source``."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return str(getattr(source, "name", None) or f"audio given as {type(source).__name__}")


def _select(samples: np.ndarray, channel: int | str | None, name: str) -> np.ndarray:
    count = samples.shape[1]
    if channel == "average":
        return np.asarray(samples.mean(axis=1))
    if channel is None:
        if count == 1:
            return samples[:, 0]
        hint = f"set channel (--channel) to a number from 0 to {count - 1}, or to average"
        raise DataError(f"{name}: has {count} channels", hint=hint)
    if not isinstance(channel, int):
        raise ConfigError(f"channel {channel!r} is neither a number nor 'average'")
    if not 0 <= channel < count:
        raise DataError(f"{name}: there is no channel {channel}, only 0 to {count - 1}")
    return samples[:, channel]


def _open(source: str | Path | bytes | BinaryIO, name: str) -> sf.SoundFile:
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.exists():
            raise DataError(f"{name}: there is no such file")
        if path.is_dir():
            raise DataError(f"{name}: is a folder, not a file")
        if path.stat().st_size == 0:
            raise DataError(f"{name}: the file is empty")
    elif isinstance(source, (bytes, bytearray, memoryview)):
        if len(source) == 0:
            raise DataError(f"{name}: no bytes")
        source = io.BytesIO(source)
    library = _library("soundfile")
    try:
        file: sf.SoundFile = library.SoundFile(source)
        return file
    except (library.LibsndfileError, OSError, TypeError, ValueError) as error:
        raise DataError(f"{name}: cannot be read as audio ({_reason(error)})", hint=_SUPPORTED) from error


def _decode(
    source: str | Path | bytes | BinaryIO, name: str, offset: float, duration: float | None
) -> tuple[np.ndarray, int]:
    with _open(source, name) as file:
        rate = file.samplerate
        start = round(offset * rate)
        if start < 0 or (start >= file.frames and start > 0):
            raise DataError(f"{name}: offset {offset} s is outside its {file.frames / rate:.3f} s")
        try:
            if start:
                file.seek(start)
            samples = file.read(-1 if duration is None else round(duration * rate), dtype="float32", always_2d=True)
        except _library("soundfile").LibsndfileError as error:
            raise DataError(f"{name}: is damaged ({_reason(error)})", hint=_SUPPORTED) from error
    return samples, rate


def _library(name: str) -> Any:
    """Return a package of the extra, imported where audio is read and not before."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{name} is not installed, which reading audio needs", hint="pip install 'nemo-core[audio]'"
        ) from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
