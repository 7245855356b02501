"""Transcription of any number of audios with any recognition model."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from nemo_asr.data.batch import pad_audio
from nemo_asr.decoding.hypothesis import Hypothesis
from nemo_asr.transcription.chunks import cut_where_quiet, join
from nemo_core.audio.sources import Source, find_sources
from nemo_core.errors import ConfigError, DataError

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
    chunk_seconds: float | None = None,
    prompt: Mapping[str, Any] | None = None,
    progress: Callable[[float], object] | None = None,
) -> list[Hypothesis]:
    """Return what is said in each audio, in the order given.

    Audios are read and transcribed in batches of like length; one that is given twice is transcribed once. The model is
    not changed, whatever mode it is in, so that several threads can transcribe with one model, also while it trains.

    Args:
        model: A recognition model; the work is done on its device.
        audio: A path, glob, folder, manifest (``.jsonl``), bytes, an open binary file, an array or tensor (T,) or
            (T, C), a pair (samples, rate), or a list of any of these.
        batch_size: Most audios in a batch.
        timestamps: Whether hypotheses have ``chars``, ``words`` and ``segments`` with times.
        sample_rate: Rate of arrays and tensors that come without one, Hz; the model's if not given. Files know theirs.
        channel: Which channel of audios that have several: a number, or ``average``.
        on_error: What a damaged audio does: ``keep``: its hypothesis has an empty text and the ``error``; ``raise`` it.
        chunk_seconds: Audio that is longer is cut, where it is quiet, into pieces of at most so many seconds, which are
            transcribed as if they were audios, and joined. Memory is then bounded; without, that of models with full
            attention grows with the square of the length. Words near a cut may suffer.
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
    if chunk_seconds is not None and not chunk_seconds >= 1:
        raise ConfigError(f"chunk_seconds is {chunk_seconds}", hint="give at least 1")
    sources = find_sources(audio, sample_rate=sample_rate)
    places = _places(sources)
    model = model.for_inference()
    fields = model.prompt_fields(prompt or {}, timestamps=timestamps)

    def read(which: int) -> list[_Piece]:
        source = sources[places[which][0]]
        try:
            tokens = model.encode_prompt({**fields, **source.fields})
            samples = source.read(model.sample_rate, channel)
        except DataError as error:
            return [_Piece(which, source.name, error=error)]
        cut = [samples] if chunk_seconds is None else cut_where_quiet(samples, model.sample_rate, chunk_seconds)
        return [_Piece(which, source.name, each, tokens, last=each is cut[-1]) for each in cut]

    results: dict[int, Hypothesis] = {}
    parts: list[Hypothesis] = []  # what was heard in the audio whose last piece is yet to come
    order = _longest_first([sources[same[0]] for same in places], batch_size)
    for batch in _batched((piece for which in order for piece in read(which)), batch_size):
        done = 0
        for piece, part in zip(batch, _recognize(model, batch, timestamps), strict=True):
            if part.error is not None and on_error == "raise":
                raise part.error
            parts.append(part)
            if piece.last:
                whole, parts = join(parts), []
                for place in places[piece.which]:
                    source = sources[place]
                    results[place] = dataclasses.replace(whole, source=source.name, reference=source.text)
                done += len(places[piece.which])
        if progress is not None and done:
            progress(done)
    return [results[place] for place in range(len(sources))]


@dataclasses.dataclass(frozen=True, slots=True)
class _Piece:
    """Samples (T,) of an audio, all or some, with the prompt of a model that takes one; or why there are none."""

    which: int
    name: str
    samples: np.ndarray | None = None
    prompt: Sequence[int] = ()
    last: bool = True
    error: DataError | None = None


def _places(sources: Sequence[Source]) -> list[list[int]]:
    """Return of each different audio the places where it is given."""
    places: dict[object, list[int]] = {}
    for place, source in enumerate(sources):
        key: object = place
        if isinstance(source.audio, (str, os.PathLike)):
            key = (os.path.abspath(source.audio), source.offset, source.span, repr(sorted(source.fields.items())))
        places.setdefault(key, []).append(place)
    return list(places.values())


def _longest_first(sources: Sequence[Source], batch_size: int) -> list[int]:
    """Return places in ``sources`` so that like lengths come together, and too much for memory fails at once."""
    durations = [source.duration() for source in sources] if len(sources) > batch_size else [0.0] * len(sources)
    return sorted(range(len(sources)), key=lambda place: -durations[place])


def _batched(pieces: Iterable[_Piece], size: int) -> Iterator[list[_Piece]]:
    remaining = iter(pieces)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def _recognize(model: SpeechRecognizer, pieces: Sequence[_Piece], timestamps: bool) -> list[Hypothesis]:
    good = [(piece.samples, piece.prompt) for piece in pieces if piece.samples is not None]
    try:
        heard = iter(_hear(model, good, timestamps))
    except (RuntimeError, MemoryError) as error:
        if not _is_lack_of_memory(error):
            raise
        if len(pieces) > 1:
            middle = len(pieces) // 2
            return [each for part in (pieces[:middle], pieces[middle:]) for each in _recognize(model, part, timestamps)]
        return [_too_long(pieces[0], len(good[0][0]) / model.sample_rate)]
    return [next(heard) if piece.error is None else Hypothesis("", error=piece.error) for piece in pieces]


def _hear(
    model: SpeechRecognizer, audio: Sequence[tuple[np.ndarray, Sequence[int]]], timestamps: bool
) -> list[Hypothesis]:
    if not audio:
        return []
    samples, length = pad_audio([each for each, _ in audio])
    options = {"prompts": [prompt for _, prompt in audio]} if model.takes_prompts else {}
    with torch.inference_mode():
        return model.recognize(samples.to(model.device), length.to(model.device), timestamps=timestamps, **options)


def _is_lack_of_memory(error: Exception) -> bool:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return "DefaultCPUAllocator" in str(error)  # which raises a plain RuntimeError


def _too_long(piece: _Piece, seconds: float) -> Hypothesis:
    message = f"{piece.name}: there is not enough memory for {seconds:.1f} s of audio at once"
    hint = "set chunk_seconds (--chunk-seconds), such as 30, or use a device with more memory"
    return Hypothesis("", duration=seconds, error=DataError(message, hint=hint))
