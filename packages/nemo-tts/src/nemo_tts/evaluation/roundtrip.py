"""Whether synthesised speech is understood, and sounds like the speaker: what other models say of it.

They are restored by name or archive; that they come from another package is nothing that this one knows of.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nemo_core.errors import ConfigError
from nemo_core.models import restore

__all__ = ["Recognizer", "SpeakerJudge", "word_errors"]


class Recognizer:
    """Says how many words of a text are understood.

    Args:
        model: Archive or name of a model that has ``transcribe``, such as those of nemo-asr.
        device: Where it computes.

    Raises:
        ConfigError: The model does not transcribe.
    """

    def __init__(self, model: str | Path, device: str = "cpu") -> None:
        self.model: Any = restore(model, map_location=device)
        if not hasattr(self.model, "transcribe"):
            raise ConfigError(f"{model} does not transcribe", hint="give a recogniser; those of nemo-asr do")

    def hear(self, audio: Sequence[str | Path]) -> list[str]:
        """Return what is understood of audio files."""
        texts: list[str] = self.model.transcribe([str(path) for path in audio], return_hypotheses=False)
        return texts


class SpeakerJudge:
    """Says how alike two voices are.

    Args:
        model: Archive or name of a model that has ``get_embedding``, such as those of nemo-asr.
        device: Where it computes.

    Raises:
        ConfigError: The model does not embed voices.
    """

    def __init__(self, model: str | Path, device: str = "cpu") -> None:
        self.model: Any = restore(model, map_location=device)
        if not hasattr(self.model, "get_embedding"):
            raise ConfigError(f"{model} knows no voices", hint="give a speaker model; those of nemo-asr do")

    def similarity(self, first: str | Path, second: str | Path) -> float:
        """Return the cosine of the embeddings of two audio files; 1 is the same voice."""
        one, other = (self.model.get_embedding(str(path)).double().flatten().cpu().numpy() for path in (first, second))
        return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def word_errors(reference: str, heard: str) -> tuple[int, int]:
    """Return errors and words; case and punctuation do not count, and Chinese characters are words.

    Example:
        >>> word_errors("Seven, two!", "seven zero two"), word_errors("你好吗", "你好")
        ((1, 2), (1, 3))
    """
    wanted, given = _words(reference), _words(heard)
    costs = list(range(len(given) + 1))
    for row, word in enumerate(wanted, 1):
        before, costs[0] = costs[0], row
        for column, other in enumerate(given, 1):
            before, costs[column] = (
                costs[column],
                min(costs[column] + 1, costs[column - 1] + 1, before + (word != other)),
            )
    return costs[-1], len(wanted)


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return re.findall(r"[\u3400-\u9fff]|[^\W_]+(?:'[^\W_]+)*", re.sub(r"([\u3400-\u9fff])", r" \1 ", plain))
