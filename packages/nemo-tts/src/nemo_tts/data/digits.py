"""Strings of spoken digits to learn to speak from, composed of recordings of single ones."""

from __future__ import annotations

import importlib.resources
import io
import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError
from nemo_tts.data.spoken import Spoken

if TYPE_CHECKING:
    from nemo_tts.data.features import SpeechFeatures

__all__ = ["DIGITS", "SpokenDigits", "load_digits"]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_RATE = 8000
_SPLITS = ("train", "validation")


class SpokenDigits(Configured):
    """Strings of digits, each in the voice of one speaker of the recordings that come with the package.

    Item ``i`` has ``min_digits + i % (max_digits - min_digits + 1)`` digits; the rest is drawn: from (``seed``, index)
    for validation, which never changes, and anew in every epoch for training. Where each word is, is known, and handed
    out.

    Args:
        split: ``train``, or ``validation``, which has recordings of its own.
        size: Number of strings (in an epoch).
        features: Finds pitch and energy, once for each recording.
        speakers: Whose recordings to take, of george, jackson and theo.
        min_digits: Digits in the shortest string.
        max_digits: Digits in the longest string.
        gap: Shortest and longest gap before, between and after digits, seconds.
        validation_takes: How many recordings of each digit and speaker are kept for validation.
        seed: What validation strings depend on.

    Raises:
        ConfigError: There is no such split or speaker, or a range is empty.

    Example:
        >>> from nemo_core.audio import MelSpectrogram
        >>> from nemo_tts.data.features import SpeechFeatures
        >>> mel = MelSpectrogram(8000, n_window_size=256, n_window_stride=64, features=40, normalize=None)
        >>> digits = SpokenDigits("validation", 8, SpeechFeatures(mel), speakers=["theo"])
        >>> item = digits[2]
        >>> len(item.text.split()), item.speaker, item.features.shape[1] == len(item.audio) // 64
        (3, 'theo', True)
    """

    def __init__(
        self,
        split: Literal["train", "validation"],
        size: int,
        features: SpeechFeatures,
        *,
        speakers: Sequence[str] = ("george", "jackson", "theo"),
        min_digits: int = 1,
        max_digits: int = 5,
        gap: Sequence[float] = (0.05, 0.15),
        validation_takes: int = 2,
        seed: int = 0,
    ) -> None:
        if split not in _SPLITS:
            raise ConfigError(f"digits: split {split!r} is not known", hint=f"one of {', '.join(_SPLITS)}")
        if size < 1 or not 1 <= min_digits <= max_digits:
            raise ConfigError(f"digits: {size} strings of {min_digits} to {max_digits} digits cannot be made")
        if len(gap) != 2 or not 0 <= gap[0] <= gap[1]:
            raise ConfigError(f"digits: gap {list(gap)} is not a range", hint="give the shortest and the longest, s")
        if features.preprocessor.sample_rate != _RATE:
            raise ConfigError(
                f"the spoken digits are recorded at {_RATE} Hz", hint="set preprocessor.sample_rate to it"
            )
        self.split, self.size, self.features = split, size, features
        self.speakers = list(speakers)
        self.min_digits, self.max_digits = min_digits, max_digits
        self.gap = (float(gap[0]), float(gap[1]))
        self.validation_takes, self.seed = validation_takes, seed

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Spoken:
        """Return the string that belongs to ``index`` for good."""
        index = range(self.size)[index]
        return self.sample(index, np.random.default_rng((self.seed, index)))

    def sample(self, index: int, rng: np.random.Generator) -> Spoken:
        """Return a string drawn from ``rng``."""
        count = self.min_digits + index % (self.max_digits - self.min_digits + 1)
        speaker = self.speakers[rng.integers(len(self.speakers))]
        digits = rng.integers(0, len(DIGITS), count).tolist()
        hop = self.features.preprocessor.hop_length
        # Whole frames, so that features of recordings are those of the string.
        gaps = np.rint(rng.uniform(*self.gap, count + 1) * _RATE / hop).astype(int)
        audio, known = [_silence(gaps[0] * hop)], [np.zeros((2, gaps[0]), np.float32)]
        words, start = [], int(gaps[0])
        for digit, gap in zip(digits, gaps[1:], strict=True):
            takes = self._recordings[speaker, digit]
            samples, features = takes[rng.integers(len(takes))]
            audio += [samples, _silence(gap * hop)]
            known += [features, np.zeros((2, gap), np.float32)]
            words.append((start, start + features.shape[1]))
            start += features.shape[1] + int(gap)
        text = " ".join(DIGITS[digit] for digit in digits)
        name = f"{self.split} digits {index}"
        return Spoken(np.concatenate(audio), text, np.concatenate(known, 1), speaker, name, words)

    @property
    def lengths(self) -> np.ndarray:
        """Expected seconds of every string (N,)."""
        digit = np.mean([len(audio) for takes in self._recordings.values() for audio, _ in takes]) / _RATE
        gap = sum(self.gap) / 2
        counts = self.min_digits + np.arange(self.size) % (self.max_digits - self.min_digits + 1)
        return counts * (digit + gap) + gap

    @cached_property
    def _recordings(self) -> dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]]:
        hop = self.features.preprocessor.hop_length
        found: dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]] = {}
        for speaker in self.speakers:
            for digit, takes in enumerate(load_digits(speaker)):
                if not 0 < self.validation_takes < len(takes):
                    raise ConfigError(f"digits: validation_takes is not between 1 and {len(takes) - 1}")
                kept = takes[: self.validation_takes] if self.split == "validation" else takes[self.validation_takes :]
                whole = [np.pad(audio, (0, -len(audio) % hop)) for audio in kept]
                found[speaker, digit] = [(audio, self.features(audio)) for audio in whole]
        return found

    def __getstate__(self) -> dict[str, object]:
        # Loading workers decode the recordings themselves rather than receive them through a pipe.
        return {key: value for key, value in self.__dict__.items() if key != "_recordings"}


def load_digits(speaker: str) -> list[list[np.ndarray]]:
    """Return a speaker's recordings of each digit, float32 at 8 kHz.

    Raises:
        ConfigError: There is no such speaker.

    Example:
        >>> takes = load_digits("jackson")
        >>> len(takes), len(takes[7]), takes[7][0].dtype
        (10, 24, dtype('float32'))
    """
    import soundfile as sf

    folder = importlib.resources.files("nemo_tts") / "datasets" / "fsdd"
    packs = {pack["speaker"]: pack for pack in json.loads((folder / "index.json").read_text(encoding="utf-8"))["packs"]}
    if speaker not in packs:
        raise ConfigError(f"digits: there is no speaker {speaker!r}", hint=f"one of {', '.join(packs)}")
    audio, _ = sf.read(io.BytesIO((folder / packs[speaker]["file"]).read_bytes()), dtype="float32")
    takes: list[list[np.ndarray]] = [[] for _ in DIGITS]
    for digit, _, start, frames in packs[speaker]["recordings"]:
        takes[digit].append(audio[start : start + frames])
    return takes


def _silence(samples: int) -> np.ndarray:
    return np.zeros(samples, dtype=np.float32)
