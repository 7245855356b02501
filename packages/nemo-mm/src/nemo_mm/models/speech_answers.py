"""Questions about recordings, and how good answers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nemo_core.audio.files import prepare_samples, read_audio
from nemo_core.errors import DataError
from nemo_mm.data.spoken import AUDIO_MARK

__all__ = ["AnswerScores", "read_recordings", "with_marks"]


class AnswerScores:
    """Word errors and exact answers, by task.

    Args:
        kinds: Names of the tasks; none: there is but one, which has no name.

    Example:
        >>> scores = AnswerScores(["transcribe", "count"])
        >>> scores.add(0, "one two", "one too")
        >>> scores.add(1, "2", "2")
        >>> found = scores.over()
        >>> round(found["wer"], 3), found["accuracy"], found["wer_transcribe"], found["accuracy_count"]
        (0.333, 0.5, 0.5, 1.0)
    """

    def __init__(self, kinds: Sequence[str] = ()) -> None:
        self.kinds = list(kinds) or [""]
        self._sums = np.zeros((len(self.kinds), 4), np.int64)  # errors, words, right answers, answers

    def add(self, kind: int, reference: str, answer: str) -> None:
        """Add an answer."""
        said, heard = reference.split(), answer.split()
        self._sums[kind] += (word_errors(said, heard), len(said), said == heard, 1)

    def over(self, group: Any = None) -> dict[str, float]:
        """Return the rates over all answers, and over those of each task; of all processes of ``group``."""
        sums = torch.from_numpy(self._sums.copy())
        if group is not None and group.size() > 1:
            device = torch.device("cuda") if torch.distributed.get_backend(group) == "nccl" else torch.device("cpu")
            sums = sums.to(device)
            torch.distributed.all_reduce(sums, group=group)
        rows = sums.tolist()
        found = _rates([sum(column) for column in zip(*rows, strict=True)], "")
        for name, row in zip(self.kinds, rows, strict=True):
            if name:
                found |= _rates(row, f"_{name}")
        return found


def _rates(sums: Sequence[int], suffix: str) -> dict[str, float]:
    errors, words, right, answers = sums
    return {f"wer{suffix}": errors / max(1, words), f"accuracy{suffix}": right / max(1, answers)}


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Return the fewest words to change, insert and leave out that turn ``heard`` into ``said`` (Levenshtein).

    >>> word_errors(["one", "two", "three"], ["one", "three", "four"])
    2
    """
    row = list(range(len(heard) + 1))
    for place, word in enumerate(said, 1):
        before, row[0] = row[0], place
        for column, other in enumerate(heard, 1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (word != other))
    return row[-1]


def read_recordings(
    sources: Any, sample_rate: int, *, resample: bool = True, channel: int | str | None = None
) -> list[np.ndarray]:
    """Return the samples (T,) of a recording, or of several in a list.

    Args:
        sources: A path, the content of a file, or samples (T,) at ``sample_rate``; or a list of these.
        sample_rate: Of the samples returned, Hz.
        resample: If false, a file of another rate is refused.
        channel: Which channel of files that have several.

    Raises:
        DataError: One cannot be read, or has no samples.
    """
    if not isinstance(sources, (list, tuple)):
        sources = [sources]
    found = []
    for source in sources:
        if isinstance(source, (np.ndarray, torch.Tensor)):
            samples = prepare_samples(np.asarray(source), sample_rate, sample_rate, channel=channel)
        elif isinstance(source, (str, Path, bytes)):
            samples, _ = read_audio(source, sample_rate=sample_rate, channel=channel, resample=resample)
        else:
            raise DataError(f"a recording is a {type(source).__name__}", hint="give a path, or samples (T,)")
        found.append(samples)
    return found


def with_marks(question: str | Sequence[Mapping[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return a conversation with marks for its recordings.

    >>> with_marks("What is said?", 1)
    [{'role': 'user', 'content': '<audio>What is said?'}]
    """
    one = isinstance(question, str)
    messages = [{"role": "user", "content": question}] if one else [dict(each) for each in question]  # type: ignore[arg-type]
    if not any(AUDIO_MARK in str(message.get("content")) for message in messages):
        for message in messages:
            if message.get("role") == "user":
                message["content"] = AUDIO_MARK * count + str(message.get("content") or "")
                break
    return messages
