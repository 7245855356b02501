"""Connected digits: strings of spoken digits, composed on the fly from recordings of single ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal

import numpy as np

from nemo_asr.data.batch import Utterance
from nemo_asr.data.fsdd import DIGITS, SAMPLE_RATE, load_recordings
from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError

__all__ = ["ConnectedDigits"]

_SPLITS = ("train", "validation", "test")
_EVALUATION_NOISE = 1e-4  # deviation of the noise under validation and test strings: -80 dB


class ConnectedDigits(Configured):
    """Strings of digits, each from one speaker's recordings in the embedded data set, with random gaps between.

    Item ``i`` has ``min_digits + i % (max_digits - min_digits + 1)`` digits, so its length is known, roughly, before it
    is composed (:attr:`lengths`), and batches can be formed by length. Everything else is drawn: speaker, digits,
    recordings, gaps. Validation and test strings are drawn from (``seed``, index) and never change; training asks for
    :meth:`sample`, whose generator depends on seed, epoch and index, and varies level, speed and noise as well.

    Test strings use the data set's own test recordings alone (takes 0-4), validation strings ``validation_takes`` of
    the training recordings of each digit and speaker, and training strings the others.

    Args:
        split: ``train``, ``validation`` or ``test``.
        size: Number of strings (in an epoch).
        min_digits: Digits in the shortest string.
        max_digits: Digits in the longest string.
        gap: Shortest and longest gap before, between and after digits, seconds.
        speed: Slowest and fastest speed in training; 1 is the recording's.
        gain: Quietest and loudest level of a digit in training, dB.
        noise: Weakest and strongest noise in training, dB below full scale.
        validation_takes: How many recordings of each digit and speaker are kept for validation.
        seed: What validation and test strings depend on.

    Example:
        >>> digits = ConnectedDigits("test", size=16, seed=1)
        >>> item = digits[2]
        >>> len(item.text.split()), item.audio.dtype, bool((item.audio == digits[2].audio).all())
        (3, dtype('float32'), True)
    """

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        split: Literal["train", "validation", "test"],
        size: int,
        *,
        min_digits: int = 1,
        max_digits: int = 8,
        gap: Sequence[float] = (0.05, 0.35),
        speed: Sequence[float] = (0.9, 1.1),
        gain: Sequence[float] = (-3.0, 3.0),
        noise: Sequence[float] = (-90.0, -65.0),
        validation_takes: int = 1,
        seed: int = 0,
    ) -> None:
        if split not in _SPLITS:
            raise ConfigError(f"digits: split {split!r} is not known", hint=f"one of {', '.join(_SPLITS)}")
        if size < 1 or not 1 <= min_digits <= max_digits:
            raise ConfigError(f"digits: {size} strings of {min_digits} to {max_digits} digits cannot be made")
        self.split = split
        self.size = size
        self.min_digits = min_digits
        self.max_digits = max_digits
        self.gap = _range("gap", gap, least=0.0)
        self.speed = _range("speed", speed, least=0.1)
        self.gain = _range("gain", gain)
        self.noise = _range("noise", noise)
        self.validation_takes = validation_takes
        self.seed = seed

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Utterance:
        """Return the string that belongs to ``index`` for good."""
        index = range(self.size)[index]
        rng = np.random.default_rng((self.seed, index))
        audio, text = self._compose(index, rng, gain=(0.0, 0.0))
        audio += _EVALUATION_NOISE * rng.standard_normal(len(audio), dtype=np.float32)
        return Utterance(audio, text, self._name(index))

    def sample(self, index: int, rng: np.random.Generator) -> Utterance:
        """Return a string drawn from ``rng``, varied for training."""
        audio, text = self._compose(index, rng, gain=self.gain)
        audio = _change_speed(audio, rng.uniform(*self.speed))
        level = np.float32(10 ** (rng.uniform(*self.noise) / 20))
        audio += level * rng.standard_normal(len(audio), dtype=np.float32)
        return Utterance(audio, text, self._name(index))

    def texts(self) -> Iterator[str]:
        """Yield the text of every string, for a tokenizer to learn from."""
        for index in range(self.size):
            _, digits = self._draw(index, np.random.default_rng((self.seed, index)))
            yield _spell(digits)

    @property
    def lengths(self) -> np.ndarray:
        """Expected seconds of every string (N,)."""
        digit = np.mean([len(audio) for takes in self._recordings.values() for audio in takes]) / SAMPLE_RATE
        gap = sum(self.gap) / 2
        counts = self.min_digits + np.arange(self.size) % (self.max_digits - self.min_digits + 1)
        return counts * (digit + gap) + gap

    @cached_property
    def _recordings(self) -> dict[tuple[str, int], list[np.ndarray]]:
        """Recordings of the split by speaker and digit."""
        found: dict[tuple[str, int], list[np.ndarray]] = {}
        for recording in load_recordings("test" if self.split == "test" else "train"):
            found.setdefault((recording.speaker, recording.digit), []).append(recording.audio)
        if self.split == "test":
            return found
        fewest = min(map(len, found.values()))
        if not 0 < self.validation_takes < fewest:
            raise ConfigError(f"digits: validation_takes is {self.validation_takes}, not between 1 and {fewest - 1}")
        held_out = set(np.linspace(0, fewest - 1, self.validation_takes + 2, dtype=int)[1:-1].tolist())
        validation = self.split == "validation"
        return {
            key: [audio for place, audio in enumerate(takes) if (place in held_out) == validation]
            for key, takes in found.items()
        }

    @cached_property
    def _speakers(self) -> list[str]:
        return sorted({speaker for speaker, _ in self._recordings})

    def _draw(self, index: int, rng: np.random.Generator) -> tuple[str, list[int]]:
        """Return who says what."""
        count = self.min_digits + index % (self.max_digits - self.min_digits + 1)
        speaker = self._speakers[rng.integers(len(self._speakers))]
        return speaker, rng.integers(0, len(DIGITS), count).tolist()

    def _compose(self, index: int, rng: np.random.Generator, gain: tuple[float, float]) -> tuple[np.ndarray, str]:
        speaker, digits = self._draw(index, rng)
        gaps = rng.uniform(*self.gap, len(digits) + 1)
        levels = 10 ** (rng.uniform(*gain, len(digits)) / 20)
        pieces = [_silence(gaps[0])]
        for digit, level, gap in zip(digits, levels, gaps[1:], strict=True):
            takes = self._recordings[speaker, digit]
            pieces += [takes[rng.integers(len(takes))] * np.float32(level), _silence(gap)]
        return np.concatenate(pieces), _spell(digits)

    def _name(self, index: int) -> str:
        return f"{self.split} digits {index}"

    def __getstate__(self) -> dict[str, object]:
        # Loading workers decode the recordings themselves rather than receive 20 MB through a pipe.
        return {key: value for key, value in self.__dict__.items() if key not in ("_recordings", "_speakers")}


def _range(name: str, given: Sequence[float], least: float = -math.inf) -> tuple[float, float]:
    if len(given) != 2 or not least <= given[0] <= given[1]:
        raise ConfigError(f"digits: {name} {list(given)} is not a range", hint="give the lowest and the highest value")
    return float(given[0]), float(given[1])


def _spell(digits: Sequence[int]) -> str:
    return " ".join(DIGITS[digit] for digit in digits)


def _silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * SAMPLE_RATE), dtype=np.float32)


def _change_speed(audio: np.ndarray, speed: float) -> np.ndarray:
    """Return ``audio`` played at ``speed``, which moves its pitch too; linear interpolation is enough for that."""
    places = np.arange(0, len(audio) - 1, speed)
    left = places.astype(np.int64)
    weight = (places - left).astype(np.float32)
    return audio[left] * (1 - weight) + audio[left + 1] * weight
