"""Handwritten digits that come with the package."""

from __future__ import annotations

import functools
import gzip
import importlib.resources
from typing import Literal

import numpy as np

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError
from nemo_mm.data.picture_sets import LabelledPicture

__all__ = ["DIGITS", "Mnist", "load_mnist"]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TRAIN = 8000


class Mnist(Configured):
    """10,000 handwritten digits of MNIST (LeCun et al.), of 28 x 28 pixels: 8,000 to train on and 2,000 to test with.

    They are the images that MNIST tests with; 60,000 to train on would be too large for a package. Which are which is
    drawn once, by a seed of its own that is not the run's, since the first half was written by tidier people than the
    second.

    Args:
        split: ``train`` or ``test``.
        texts: Whether the pictures have descriptions ("a handwritten seven") beside their classes.
        limit: Take the first pictures only.

    Raises:
        ConfigError: There is no such split, or nothing is left.

    Example:
        >>> digits = Mnist("test", texts=True)
        >>> len(digits), digits[0].image.shape, digits[0].label, digits[0].text
        (2000, (1, 28, 28), 4, 'a handwritten four')
    """

    def __init__(self, split: Literal["train", "test"], texts: bool = False, limit: int | None = None) -> None:
        if split not in ("train", "test"):
            raise ConfigError(f"MNIST has no split {split!r}", hint="train or test")
        if limit is not None and limit < 1:
            raise ConfigError(f"MNIST: {limit} pictures")
        self.split, self.texts, self.limit = split, texts, limit

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> LabelledPicture:
        label = int(self.labels[index])
        return LabelledPicture(self.images[index], label, f"a handwritten {DIGITS[label]}" if self.texts else None)

    @property
    def images(self) -> np.ndarray:
        """All pictures (N, 1, 28, 28), uint8: 0 is the ground, 255 is ink."""
        return load_mnist(self.split)[0][: self.limit]

    @property
    def labels(self) -> np.ndarray:
        """Their digits (N,)."""
        return load_mnist(self.split)[1][: self.limit]


@functools.lru_cache
def load_mnist(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures (N, 1, 28, 28), uint8, and digits (N,), int64, of a split; they cannot be written to."""
    images = _read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    labels = _read("t10k-labels-idx1-ubyte.gz", 8).astype(np.int64)
    order = np.random.Generator(np.random.PCG64(1998)).permutation(len(labels))
    chosen = order[:_TRAIN] if split == "train" else order[_TRAIN:]
    parts = images[chosen], labels[chosen]
    for part in parts:
        part.setflags(write=False)
    return parts


def _read(name: str, header: int) -> np.ndarray:
    path = importlib.resources.files("nemo_mm") / "datasets" / "mnist" / name
    try:
        return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}", hint="install nemo-mm anew") from error
