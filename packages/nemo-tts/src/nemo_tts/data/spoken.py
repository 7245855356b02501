"""What data sets of speech synthesis hand out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Spoken"]


@dataclass(frozen=True, slots=True)
class Spoken:
    """One utterance.

    Attributes:
        audio: Samples (T,), float32.
        text: What is said.
        features: Pitch in Hz and energy of each frame (2, M), as :class:`~nemo_tts.data.SpeechFeatures` makes them;
            None: they are still to be made.
        speaker: Name or number of the voice.
        name: Where it comes from, for messages.
        words: First frame of each word, and the one behind its last, where that is known.
    """

    audio: np.ndarray
    text: str
    features: np.ndarray | None = None
    speaker: str | int | None = None
    name: str = ""
    words: Sequence[tuple[int, int]] | None = None
