"""Digits, written and spoken: the handwritten ones that come with the package (MNIST; see its folder), and pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError
from nemo_mm.data.mnist import DIGITS, load_mnist
from nemo_mm.data.pairs import Pair

__all__ = ["HandwrittenDigits", "SpokenAndWritten", "load_digits"]

TEMPLATES = ("a handwritten {}", "the digit {}", "a {} written by hand", "a picture of the number {}")

Split = Literal["train", "validation", "test"]

_VALIDATION = 400  # of the 8,000 pictures to train on


def load_digits(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures (N, 28, 28), white on black, and their digits (N,): MNIST, some of its training kept apart.

    Example:
        >>> [len(load_digits(split)[0]) for split in ("train", "validation", "test")]
        [7600, 400, 2000]
    """
    if split not in ("train", "validation", "test"):
        raise ConfigError(f"digits: split {split!r} is not known", hint="train, validation or test")
    pictures, digits = load_mnist("test" if split == "test" else "train")
    part = {"train": slice(_VALIDATION, None), "validation": slice(_VALIDATION), "test": slice(None)}[split]
    return pictures[part, 0], digits[part]


class HandwrittenDigits(Configured):
    """Pictures of digits with captions, of MNIST.

    Args:
        split: ``train``, ``validation`` or ``test``.
        templates: Captions, with ``{}`` for the name of the digit.
        limit: How many pictures to take; all if not given.

    Example:
        >>> digits = HandwrittenDigits("test")
        >>> pair = digits[0]
        >>> len(digits), pair.first.shape, pair.second[0]
        (2000, (28, 28), 'a handwritten four')
    """

    def __init__(self, split: Split, templates: Sequence[str] = TEMPLATES, limit: int | None = None) -> None:
        self.pictures, self.digits = (part[:limit] for part in load_digits(split))
        self.split, self.templates = split, list(templates)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Pair:
        """Return a picture (28, 28) and its captions."""
        digit = int(self.digits[index])
        captions = [template.replace("{}", DIGITS[digit]) for template in self.templates]
        return Pair(self.pictures[index], captions, f"{self.split} digit {index}", digit)


class SpokenAndWritten(Configured):
    """Recordings of digits, each with a handwritten picture of the same digit.

    Args:
        speech: Recordings: a data set whose items have ``audio`` (T,) and ``text``, the name of a digit, such as
            ``asr.ConnectedDigits`` with strings of one digit.
        split: Of the pictures. Training draws a new picture each time; otherwise each recording has one for good, and
            while there are enough pictures no two recordings have the same.

    Example:
        >>> from types import SimpleNamespace
        >>> speech = [SimpleNamespace(audio=np.zeros(800, np.float32), text="seven")]
        >>> pair = SpokenAndWritten(speech, "test")[0]
        >>> pair.second.shape, pair.label
        ((28, 28), 7)
    """

    def __init__(self, speech: Any, split: Split) -> None:
        self.speech, self.split = speech, split
        self.pictures, digits = load_digits(split)
        self._of: Mapping[int, np.ndarray] = {digit: np.flatnonzero(digits == digit) for digit in range(10)}

    def __len__(self) -> int:
        return len(self.speech)

    def __getitem__(self, index: int) -> Pair:
        """Return a recording and its picture."""
        item = self.speech[index]
        places = self._of[self._digit(item)]
        return self._pair(item, places[index % len(places)], index)

    def sample(self, index: int, rng: np.random.Generator) -> Pair:
        """Return a recording, varied if its data set does that, and a picture drawn from ``rng``."""
        varied = getattr(self.speech, "sample", None)
        item = self.speech[index] if varied is None else varied(index, rng)
        return self._pair(item, rng.choice(self._of[self._digit(item)]), index)

    def _digit(self, item: Any) -> int:
        if item.text not in DIGITS:
            raise ConfigError(
                f"the recording says {item.text!r}, which is not a digit", hint="min_digits=1 max_digits=1"
            )
        return DIGITS.index(item.text)

    def _pair(self, item: Any, place: int, index: int) -> Pair:
        return Pair(item.audio, self.pictures[place], f"{self.split} recording {index}", self._digit(item))
