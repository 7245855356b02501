"""Running a model over any number of audios, a batch at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from nemo_asr.data.batch import pad_audio
from nemo_core.audio.sources import find_sources
from nemo_core.errors import ConfigError, DataError

__all__ = ["over_audio"]

T = TypeVar("T")


def over_audio(
    infer: Callable[[Tensor, Tensor], Sequence[T]],
    audio: Any,
    *,
    model_rate: int,
    device: torch.device,
    batch_size: int = 16,
    sample_rate: int | None = None,
    channel: int | str | None = None,
    same_length: bool = False,
) -> list[tuple[str, T | DataError]]:
    """Return for each audio its name and what ``infer`` gives for it, in the order given.

    Args:
        infer: Called with samples (B, T) and lengths (B,); returns one thing for each.
        audio: Whatever :func:`~nemo_core.audio.sources.find_sources` takes.
        model_rate: Rate of the audio that ``infer`` is given, Hz.
        device: Where it is given.
        batch_size: Most audios in a batch.
        sample_rate: Rate of arrays and tensors that come without one, Hz.
        channel: Which channel of audios that have several.
        same_length: Whether a batch may only have audios of the same length, so that there is no padding.

    Returns:
        In place of what ``infer`` gives, an audio that is damaged has the error.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}", hint="give at least 1")
    sources = find_sources(audio, sample_rate=sample_rate)
    results: dict[int, T | DataError] = {}
    durations = [source.duration() for source in sources] if len(sources) > batch_size else [0.0] * len(sources)
    order = sorted(range(len(sources)), key=lambda place: -durations[place])
    for start in range(0, len(order), batch_size):
        groups: dict[int, list[tuple[int, np.ndarray]]] = defaultdict(list)
        for place in order[start : start + batch_size]:
            try:
                samples = sources[place].read(model_rate, channel)
            except DataError as error:
                results[place] = error
            else:
                groups[len(samples) if same_length else 0].append((place, samples))
        for group in groups.values():
            batch, length = pad_audio([samples for _, samples in group])
            with torch.inference_mode():
                given = infer(batch.to(device), length.to(device))
            results.update(zip((place for place, _ in group), given, strict=True))
    return [(source.name, results[place]) for place, source in enumerate(sources)]
