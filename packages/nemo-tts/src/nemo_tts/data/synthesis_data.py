"""The data modules of speech synthesis: for acoustic models, and for vocoders."""

from __future__ import annotations

import functools
import random as python_random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nemo_core.config.configured import Configured
from nemo_core.data import DataModule
from nemo_core.errors import ConfigError, DataError
from nemo_tts.data.manifest_data import ManifestSpeech
from nemo_tts.data.spoken import Spoken
from nemo_tts.data.voice_spectrograms import VoiceSpectrograms
from nemo_tts.data.word_prior import word_prior
from nemo_tts.models.batches import AcousticBatch, VocoderBatch

if TYPE_CHECKING:
    from nemo_tts.data.features import SpeechFeatures

__all__ = ["TextToSpeechData", "VocoderData"]


class _SpeechData(DataModule):
    """What the two have in common: where utterances come from."""

    with_features = True

    def __init__(
        self,
        splits: Mapping[str, Any],
        features: SpeechFeatures,
        min_duration: float,
        max_duration: float | None,
        **batches: Any,
    ) -> None:
        super().__init__(**batches)
        self.features = features
        self.min_duration, self.max_duration = min_duration, max_duration
        self._splits = dict(splits)

    def dataset(self, split: str) -> Any:
        """Return the data set of ``split``, or None."""
        given = self._splits.get(split)
        if given is None:
            return None
        return self._items(self._open(given, split), split)

    def _open(self, source: Any, split: str) -> Any:
        listed = isinstance(source, Sequence) and not isinstance(source, str)
        if not isinstance(source, (str, Path)) and not (listed and all(isinstance(x, (str, Path)) for x in source)):
            return source
        longest = self.max_duration if split == "train" else None
        return ManifestSpeech(
            source,
            self.features,
            min_duration=self.min_duration,
            max_duration=longest,
            with_features=self.with_features,
        )

    def _items(self, dataset: Any, split: str) -> Any:
        raise NotImplementedError


class TextToSpeechData(_SpeechData):
    """Utterances with their tokens, pitch and energy, for :class:`~nemo_tts.models.FastPitch`.

    Args:
        train: A manifest, several, or a data set of :class:`~nemo_tts.data.Spoken`.
        validation: What to validate on, likewise.
        test: What to test on, likewise.
        tokenizer: That of the model.
        features: Finds pitch and energy where a manifest does not have them.
        pitch_mean: Mean of the voiced pitch of the training data, Hz, as ``nemo tts prepare`` says it; None until it is
            known, and then there are no batches.
        pitch_std: Deviation of it, Hz.
        speakers: Names of the voices, in the order of their numbers; without, the model has one voice, or lines give
            numbers.
        min_duration: Leave out shorter utterances of manifests, seconds.
        max_duration: Leave out longer ones from training, seconds.
        batches: As for :class:`~nemo_core.data.DataModule`.

    Raises:
        ConfigError: ``pitch_std`` is not positive.

    Example:
        >>> from nemo_core.audio import MelSpectrogram
        >>> from nemo_tts.data import SpeechFeatures, SpokenDigits
        >>> from nemo_tts.tokenizers import EnglishCharsTokenizer
        >>> mel = MelSpectrogram(8000, n_window_size=256, n_window_stride=64, features=40, normalize=None)
        >>> known = SpeechFeatures(mel)
        >>> digits = SpokenDigits("validation", 2, known, speakers=["theo"])
        >>> data = TextToSpeechData(validation=digits, tokenizer=EnglishCharsTokenizer(), features=known, batch_size=2,
        ...                         pitch_mean=138.1, pitch_std=27.2)
        >>> batch = next(iter(data.val_dataloader()[0]))
        >>> batch.tokens.shape[0], batch.pitch.shape == batch.energy.shape
        (2, True)
    """

    def __init__(
        self,
        train: Any = None,
        validation: Any = None,
        test: Any = None,
        *,
        tokenizer: Configured,
        features: SpeechFeatures,
        pitch_mean: float | None,
        pitch_std: float | None,
        speakers: Sequence[str] | None = None,
        min_duration: float = 0.1,
        max_duration: float | None = None,
        batch_size: int | None = 16,
        batch_length: float | None = None,
        eval_batch_size: int | None = None,
        buckets: int = 1,
        shuffle: bool = True,
        drop_last: bool = False,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            {"train": train, "validation": validation, "test": test},
            features,
            min_duration,
            max_duration,
            batch_size=batch_size,
            batch_length=batch_length,
            eval_batch_size=eval_batch_size,
            buckets=buckets,
            shuffle=shuffle,
            drop_last=drop_last,
            num_workers=num_workers,
            prefetch=prefetch,
            pin_memory=pin_memory,
            seed=seed,
        )
        if pitch_std is not None and pitch_std <= 0:
            raise ConfigError(f"pitch_std is {pitch_std}, not positive", hint="take what nemo tts prepare prints")
        self.tokenizer: Any = tokenizer
        self.pitch_mean, self.pitch_std = pitch_mean, pitch_std
        self.speakers = None if speakers is None else list(speakers)
        #: Who speaks where a line does not say it.
        self.usual_speaker: str | None = None

    def prepared(self, item: Spoken, random: python_random.Random | None = None) -> _Item:
        """Return an utterance as :meth:`collate` takes it.

        Args:
            item: The utterance.
            random: What a tokenizer draws from that has a choice.
        """
        return _Item(item, self, random)

    def collate(self, items: list[Any]) -> AcousticBatch:
        """Return the batch made of utterances."""
        audio, audio_length = _pad([item.audio for item in items])
        tokens, length = _pad([item.tokens for item in items], value=self.tokenizer.pad)
        pitch, _ = _pad([item.pitch for item in items])
        energy, _ = _pad([item.energy for item in items])
        speaker = None
        if all(item.speaker is not None for item in items):
            speaker = torch.tensor([item.speaker for item in items])
        prior = None
        if all(item.log_prior is not None for item in items):
            prior = torch.zeros(len(items), pitch.shape[1], tokens.shape[1])
            for row, item in zip(prior, items, strict=True):
                row[: item.log_prior.shape[0], : item.log_prior.shape[1]] = item.log_prior
        return AcousticBatch(audio, audio_length, tokens, length, pitch, speaker, energy, log_prior=prior)

    def _items(self, dataset: Any, split: str) -> Any:
        if self.pitch_mean is None or self.pitch_std is None:
            raise ConfigError(
                "model.pitch_mean and model.pitch_std are not given",
                hint="nemo tts prepare finds them for your data: set them to what it prints",
            )
        return _Tokenized(dataset, self)


class _Item:
    """An utterance as numbers."""

    __slots__ = ("audio", "energy", "log_prior", "pitch", "speaker", "tokens")

    def __init__(self, item: Spoken, data: TextToSpeechData, random: python_random.Random | None) -> None:
        found = item.features if item.features is not None else data.features(item.audio)
        hertz = found[0]
        mean, std = data.pitch_mean or 0.0, data.pitch_std or 1.0
        self.audio = item.audio
        self.pitch = np.where(hertz > 0, (hertz - mean) / std, 0.0).astype(np.float32)
        self.energy = found[1]
        who = item.speaker if item.speaker is not None else data.usual_speaker
        self.speaker = _number(who, data.speakers, item.name)
        try:
            self.tokens = np.array(data.tokenizer.encode(item.text, random), dtype=np.int64)
        except DataError as error:
            raise DataError(f"{item.name}: {error.message}", hint=error.hint) from error
        if not len(self.tokens):
            raise DataError(f"{item.name}: nothing of {item.text!r} can be spoken", hint="leave the line out")
        if len(self.tokens) > len(self.pitch):
            raise DataError(
                f"{item.name}: has {len(self.tokens)} tokens in {len(self.pitch)} frames of audio",
                hint="text and audio do not belong together, or min_duration is too low",
            )
        self.log_prior = None
        if item.words is not None:
            self.log_prior = word_prior(self.tokens.tolist(), data.tokenizer.space, item.words, len(self.pitch))


class _Tokenized:
    """A data set of utterances, as a model takes them."""

    def __init__(self, inner: Any, data: TextToSpeechData) -> None:
        self.inner, self.data = inner, data

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> _Item:
        return self.data.prepared(self.inner[index])

    def sample(self, index: int, rng: np.random.Generator) -> _Item:
        item = self.inner.sample(index, rng) if hasattr(self.inner, "sample") else self.inner[index]
        return self.data.prepared(item, python_random.Random(int(rng.integers(2**62))))

    @property
    def lengths(self) -> np.ndarray:
        lengths: np.ndarray = self.inner.lengths
        return lengths


def _number(speaker: str | int | None, speakers: Sequence[str] | None, where: str) -> int | None:
    if speakers is None:
        return int(speaker) if speaker is not None and str(speaker).isdigit() else None
    if speaker not in speakers:
        raise DataError(
            f"{where}: the speaker {speaker!r} is none of {', '.join(speakers)}",
            hint="name all voices in data.speakers, in the order of their numbers",
        )
    return list(speakers).index(str(speaker))


class VocoderData(_SpeechData):
    """Pieces of audio for :class:`~nemo_tts.models.HiFiGan`; validation and test take utterances from their start.

    Args:
        train: A manifest, several, or a data set of :class:`~nemo_tts.data.Spoken`.
        validation: What to validate on, likewise.
        test: What to test on, likewise.
        features: Says how spectrograms are made.
        n_segments: Samples of a piece; a multiple of the hop.
        eval_segments: Samples of a piece of validation and test; four times as many if not given.
        voice: Tune to the spectrograms that this acoustic model makes of the same utterances, instead of their own: its
            archive or run folder.
        min_duration: Leave out shorter utterances of manifests, seconds.
        max_duration: Leave out longer ones from training, seconds.
        batches: As for :class:`~nemo_core.data.DataModule`.

    Raises:
        ConfigError: A piece is not a number of whole frames.
    """

    def __init__(
        self,
        train: Any = None,
        validation: Any = None,
        test: Any = None,
        *,
        features: SpeechFeatures,
        n_segments: int = 8192,
        eval_segments: int | None = None,
        voice: str | Path | None = None,
        min_duration: float = 0.1,
        max_duration: float | None = None,
        batch_size: int | None = 16,
        eval_batch_size: int | None = None,
        shuffle: bool = True,
        drop_last: bool = False,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            {"train": train, "validation": validation, "test": test},
            features,
            min_duration,
            max_duration,
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            num_workers=num_workers,
            prefetch=prefetch,
            pin_memory=pin_memory,
            seed=seed,
        )
        hop = features.preprocessor.hop_length
        self.voice = None if voice is None else VoiceSpectrograms(voice)
        self.with_features = voice is not None
        self.segments = {"train": n_segments, "other": eval_segments or 4 * n_segments}
        for samples in self.segments.values():
            if samples < hop or samples % hop:
                raise ConfigError(f"pieces of {samples} samples are no multiple of the {hop} samples of a frame")

    @functools.cached_property
    def silence(self) -> float:
        """What the bins of a silent frame's spectrogram are."""
        mel = self.features.preprocessor
        samples = torch.zeros(1, 4 * mel.win_length)
        spectrogram, _ = mel(audio=samples, length=torch.tensor([samples.shape[1]]))
        return float(spectrogram[0, 0, 1])

    def collate(self, items: list[Any]) -> VocoderBatch:
        """Return the batch made of pieces."""
        audio, length = _pad([audio for audio, _ in items])
        if self.voice is None:
            return VocoderBatch(audio, length)
        return VocoderBatch(audio, length, torch.from_numpy(np.stack([spectrogram for _, spectrogram in items])))

    def _items(self, dataset: Any, split: str) -> Any:
        return _Pieces(dataset, self, self.segments["train" if split == "train" else "other"])


class _Pieces:
    """A data set of pieces of utterances, all of one length: audio, and the voice's spectrogram where it is wanted."""

    def __init__(self, inner: Any, data: VocoderData, samples: int) -> None:
        self.inner, self.data, self.samples = inner, data, samples
        self._made: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        return self._piece(self.inner[index], index, None)

    def sample(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        composed = hasattr(self.inner, "sample")
        item = self.inner.sample(index, rng) if composed else self.inner[index]
        return self._piece(item, None if composed else index, rng)

    def _piece(
        self, item: Spoken, known: int | None, rng: np.random.Generator | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        room = max(0, len(item.audio) - self.samples)
        start = 0 if rng is None else int(rng.integers(room + 1))
        if self.data.voice is None:
            return self._cut(item.audio, start, self.samples), None
        hop = self.data.features.preprocessor.hop_length
        first = start // hop
        spectrogram = self._spectrogram(item, known)
        return (
            self._cut(item.audio, first * hop, self.samples),
            self._cut(spectrogram, first, self.samples // hop, self.data.silence),
        )

    def _spectrogram(self, item: Spoken, known: int | None) -> np.ndarray:
        """Return what the voice makes of an utterance; of one that comes again, what it made the first time."""
        assert self.data.voice is not None
        if known is None:
            return self.data.voice(item, self.data.features)
        if known not in self._made:
            self._made[known] = self.data.voice(item, self.data.features)
        return self._made[known]

    @staticmethod
    def _cut(values: np.ndarray, start: int, length: int, silence: float = 0.0) -> np.ndarray:
        piece = values[..., start : start + length]
        missing = length - piece.shape[-1]
        if not missing:
            return piece
        return np.pad(piece, [(0, 0)] * (piece.ndim - 1) + [(0, missing)], constant_values=silence)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_made": {}}


def _pad(items: Sequence[np.ndarray], value: float = 0) -> tuple[Tensor, Tensor]:
    """Return ``items`` as one batch (B, T), and their lengths (B,)."""
    longest = max(len(item) for item in items)
    batch = np.full((len(items), longest), value, dtype=items[0].dtype)
    for row, item in zip(batch, items, strict=True):
        row[: len(item)] = item
    return torch.from_numpy(batch), torch.tensor([len(item) for item in items], dtype=torch.long)
