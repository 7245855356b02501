"""Songs to learn from."""

from __future__ import annotations

from typing import Any

import numpy as np

from nemo_birdsong.songs import SPECIES, sing
from nemo_core.config import Configured
from nemo_core.data import DataModule
from nemo_core.errors import DataError

__all__ = ["SongData", "Songs"]


class Songs(Configured):
    """Songs of the four birds in turn; in training each comes from a new singer every epoch.

    Args:
        size: Number of songs.
        seconds: Length of each.
        seed: Which singers.

    Example:
        >>> songs = Songs(size=8, seconds=0.5)
        >>> songs[5]["audio"].shape, int(songs[5]["label"])
        ((8000,), 1)
    """

    def __init__(self, size: int, seconds: float = 1.0, seed: int = 0) -> None:
        if size < 1 or seconds <= 0:
            raise DataError(f"{size} songs of {seconds} s are none", hint="ask for at least one, longer than nothing")
        self.size, self.seconds, self.seed = size, seconds, seed

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.size:  # also what ends a for loop
            raise IndexError(f"there are {self.size} songs, no {index}")
        return self.sample(index, np.random.default_rng((self.seed, index)))

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return song ``index`` by a singer that ``rng`` decides: ``audio`` (T,) and ``label``."""
        label = index % len(SPECIES)
        return {"audio": sing(list(SPECIES)[label], self.seconds, rng), "label": np.int64(label)}


class SongData(DataModule):
    """Songs for training, validation and test, by different singers.

    Args:
        size: Training songs; validation and test have a quarter as many.
        seconds: Length of each.
        options: See :class:`nemo_core.data.DataModule`.
    """

    def __init__(self, size: int = 256, seconds: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.seconds = size, seconds

    def dataset(self, split: str) -> Songs:
        """Return the songs of a split."""
        seed = ("train", "validation", "test", "predict").index(split)
        return Songs(self.size if split == "train" else max(4, self.size // 4), self.seconds, seed)
