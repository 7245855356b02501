"""What speech data sets hand out, and how it becomes a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Skipped", "SpeechBatch", "Utterance", "collate_speech", "pad_audio"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One item of a speech data set.

    Attributes:
        audio: Samples (T,), float32.
        text: What is said.
        name: Where it comes from, for messages.
        fields: What else is known of it, by name, such as ``lang``, or what a prompt says.
    """

    audio: np.ndarray
    text: str
    name: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Skipped:
    """In place of an item whose audio or manifest line is bad, where the data set was told to skip those."""

    reason: str


class SpeechBatch(NamedTuple):
    """A batch of utterances.

    Texts travel as texts; the model turns them into its own tokens, so that one data set serves any tokenizer.
    """

    audio: Tensor
    """Samples (B, T), zero-padded."""
    length: Tensor
    """Samples of each utterance (B,)."""
    texts: list[str]
    """What is said."""
    names: list[str]
    """Where each utterance comes from."""
    skipped: int = 0
    """Items that were left out because they are damaged."""
    fields: Sequence[Mapping[str, Any]] = ()
    """What else is known of each utterance; empty where nothing is known of any."""

    def known(self) -> Sequence[Mapping[str, Any]]:
        """Return what else is known of each utterance."""
        return self.fields or [{} for _ in self.texts]


def pad_audio(items: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Return ``items`` as one zero-padded batch (B, T) and their lengths (B,).

    Example:
        >>> audio, length = pad_audio([np.ones(3, np.float32), np.ones(2, np.float32)])
        >>> audio[1].tolist(), length.tolist()
        ([1.0, 1.0, 0.0], [3, 2])
    """
    longest = max((len(item) for item in items), default=0)
    audio = np.zeros((len(items), longest), dtype=np.float32)
    for row, item in zip(audio, items, strict=True):
        row[: len(item)] = item
    return torch.from_numpy(audio), torch.tensor([len(item) for item in items], dtype=torch.long)


def collate_speech(items: Sequence[Utterance | Skipped]) -> SpeechBatch:
    """Make a batch of what a speech data set handed out.

    Example:
        >>> batch = collate_speech([Utterance(np.zeros(80, np.float32), "one"), Skipped("b.wav: the file is empty")])
        >>> batch.audio.shape, batch.texts, batch.skipped
        (torch.Size([1, 80]), ['one'], 1)
    """
    good = [item for item in items if isinstance(item, Utterance)]
    audio, length = pad_audio([item.audio for item in good])
    texts = [item.text for item in good]
    names = [item.name for item in good]
    fields = [dict(item.fields) for item in good] if any(item.fields for item in good) else []
    return SpeechBatch(audio, length, texts, names, skipped=len(items) - len(good), fields=fields)
