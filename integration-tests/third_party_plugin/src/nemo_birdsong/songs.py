"""Songs of four birds, as sums of gliding whistles; after field-guide descriptions, not recordings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SAMPLE_RATE", "SPECIES", "sing"]

#: Hz; the songs reach 7 kHz.
SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class Note:
    """A whistle that glides from one pitch to another.

    Attributes:
        start: Pitch at its beginning, Hz.
        end: Pitch at its end, Hz.
        seconds: How long it lasts.
        pause: Silence after it, seconds.
    """

    start: float
    end: float
    seconds: float
    pause: float


#: The notes that each bird repeats.
SPECIES: dict[str, tuple[Note, ...]] = {
    "chiffchaff": (Note(5200, 4400, 0.09, 0.09), Note(4200, 3600, 0.09, 0.09)),
    "great_tit": (Note(5000, 5000, 0.08, 0.03), Note(3600, 3600, 0.14, 0.08)),
    "cuckoo": (Note(690, 660, 0.16, 0.10), Note(560, 530, 0.22, 0.30)),
    "blackbird": (Note(1800, 2300, 0.15, 0.04), Note(2500, 1900, 0.20, 0.04), Note(2100, 2900, 0.10, 0.12)),
}


def sing(species: str, seconds: float, rng: np.random.Generator, *, noise: float = 0.05) -> NDArray[np.float32]:
    """Return a song (T,) at :data:`SAMPLE_RATE`, within [-1, 1].

    Each singer has its own pitch (within 5 %), tempo (within 15 %) and moment to begin.

    Args:
        species: One of :data:`SPECIES`.
        seconds: How long to listen.
        rng: Where what differs between singers comes from.
        noise: Standard deviation of the wind.

    Example:
        >>> sing("cuckoo", 0.5, np.random.default_rng(0)).shape
        (8000,)
    """
    pitch, tempo = 1 + 0.05 * rng.uniform(-1, 1), 1 + 0.15 * rng.uniform(-1, 1)
    length = round(seconds * SAMPLE_RATE)
    song: list[NDArray[np.float64]] = []
    lead = rng.integers(0, SAMPLE_RATE // 4)
    while sum(map(len, song)) < length + lead:
        for note in SPECIES[species]:
            steps = round(note.seconds * tempo * SAMPLE_RATE)
            frequency = np.linspace(note.start, note.end, steps) * pitch
            whistle = np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLE_RATE) * np.hanning(steps)
            song += [0.5 * whistle, np.zeros(round(note.pause * tempo * SAMPLE_RATE))]
    heard = np.concatenate(song)[lead : lead + length] + noise * rng.standard_normal(length)
    return np.clip(heard, -1, 1).astype(np.float32)
