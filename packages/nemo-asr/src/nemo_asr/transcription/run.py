"""Transcription of any number of audios with any recognition model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from nemo_asr.data.batch import pad_audio
from nemo_asr.decoding.hypothesis import Hypothesis
from nemo_asr.transcription.sources import Source, find_sources
from nemo_core.errors import ConfigError, DataError, NemoError

if TYPE_CHECKING:
    from nemo_asr.models.recognizer import SpeechRecognizer

__all__ = ["transcribe"]


def transcribe(
    model: SpeechRecognizer,
    audio: Any,
    *,
    batch_size: int = 16,
    timestamps: bool = False,
    sample_rate: int | None = None,
    channel: int | str | None = None,
    on_error: Literal["keep", "raise"] = "keep",
    prompt: Mapping[str, Any] | None = None,
    progress: Callable[[float], object] | None = None,
) -> list[Hypothesis]:
    """Return what is said in each audio, in the order given.

    Audios are read and transcribed in batches of like length. The model is not changed, whatever mode it is in, so that
    several threads can transcribe with one model, also while it trains.

    Args:
        model: A recognition model; the work is done on its device.
        audio: A path, glob, folder, manifest (``.jsonl``), bytes, an open binary file, an array or tensor (T,) or
            (T, C), a pair (samples, rate), or a list of any of these.
        batch_size: Most audios in a batch.
        timestamps: Whether hypotheses have ``chars``, ``words`` and ``segments`` with times.
        sample_rate: Rate of arrays and tensors that come without one, Hz; the model's if not given. Files know theirs.
        channel: Which channel of audios that have several: a number, or ``average``.
        on_error: What a damaged audio does: ``keep``: its hypothesis has an empty text and the ``error``; ``raise`` it.
        prompt: What a model that takes prompts is told, such as ``{"target_lang": "de"}``; a line of a manifest that
            says something else has its way.
        progress: Called with the number of audios done since the last call.

    Raises:
        ConfigError: An option cannot be what it is, or the model takes no such prompt.
        DataError: There is nothing to transcribe; with ``on_error="raise"``, an audio is damaged.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}", hint="give at least 1")
    if on_error not in ("keep", "raise"):
        raise ConfigError(f"on_error is {on_error!r}, not 'keep' or 'raise'")
    sources = find_sources(audio, sample_rate=sample_rate)
    results: list[Hypothesis | None] = [None] * len(sources)
    model = model.for_inference()
    fields = model.prompt_fields(prompt or {}, timestamps=timestamps)
    for places in _batches(sources, batch_size):
        read = {place: _read(sources[place], model, channel, fields) for place in places}
        for place, found in read.items():
            if isinstance(found, NemoError):
                if on_error == "raise":
                    raise found
                results[place] = Hypothesis("", source=sources[place].name, error=found)
        good = {place: found for place, found in read.items() if isinstance(found, _Heard)}
        heard = _recognize(model, list(good.values()), timestamps)
        for place, hypothesis in zip(good, heard, strict=True):
            results[place] = dataclasses.replace(hypothesis, source=sources[place].name)
        if progress is not None:
            progress(len(places))
    return [result for result in results if result is not None]


def _batches(sources: Sequence[Source], batch_size: int) -> Iterator[list[int]]:
    """Yield places in ``sources``, like lengths together, longest first: too much for memory fails at once."""
    durations = [source.duration() for source in sources] if len(sources) > batch_size else [0.0] * len(sources)
    order = sorted(range(len(sources)), key=lambda place: -durations[place])
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


@dataclasses.dataclass(frozen=True, slots=True)
class _Heard:
    """Samples (T,), and the prompt of a model that takes one."""

    samples: np.ndarray
    prompt: Sequence[int]


def _read(
    source: Source, model: SpeechRecognizer, channel: int | str | None, fields: Mapping[str, Any]
) -> _Heard | NemoError:
    try:
        return _Heard(source.read(model.sample_rate, channel), model.encode_prompt({**fields, **source.fields}))
    except DataError as error:
        return error


def _recognize(model: SpeechRecognizer, heard: Sequence[_Heard], timestamps: bool) -> list[Hypothesis]:
    if not heard:
        return []
    samples, length = pad_audio([each.samples for each in heard])
    options = {"prompts": [each.prompt for each in heard]} if model.takes_prompts else {}
    with torch.inference_mode():
        return model.recognize(samples.to(model.device), length.to(model.device), timestamps=timestamps, **options)
