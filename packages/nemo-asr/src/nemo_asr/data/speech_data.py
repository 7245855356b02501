"""The data module of speech recognition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from nemo_asr.data.batch import SpeechBatch, collate_speech
from nemo_asr.data.speech_dataset import SpeechDataset
from nemo_core.data import DataModule

__all__ = ["SpeechData"]


class SpeechData(DataModule):
    """Training, validation and test data, from manifests or from data sets of their own kind.

    Each of ``train``, ``validation`` and ``test`` is a manifest, a list of manifests that are read as one, or a data
    set (whose items are :class:`~nemo_asr.data.batch.Utterance`); validation and test may also be mappings of a name to
    one of these.

    Args:
        train: What to train on.
        validation: What to validate on.
        test: What to test on.
        sample_rate: Rate of the audio, Hz; that of the model's features.
        channel: Which channel of files that have several.
        min_duration: Shortest utterance to train on, seconds.
        max_duration: Longest utterance to train on, seconds.
        resample: If false, a file of another rate is bad audio instead of being resampled.
        on_bad_audio: ``raise`` or ``skip``; see :class:`~nemo_asr.data.speech_dataset.SpeechDataset`.
        batch_size: Most utterances in a batch.
        batch_length: Most padded seconds in a training batch.
        eval_batch_size: Most utterances in a validation or test batch.
        buckets: Groups of like duration that training batches are drawn from.
        shuffle: Whether each training epoch has its own order.
        drop_last: Leave out the utterances that do not fill a batch.
        num_workers: Processes that load data.
        prefetch: Batches that each of them loads ahead.
        pin_memory: Page-locked memory, for faster copies to a GPU.
        seed: What order and augmentation depend on; that of the run if not given.

    Example:
        >>> from nemo_asr.data import ConnectedDigits
        >>> data = SpeechData(test=ConnectedDigits("test", size=4), sample_rate=8000, batch_size=2)
        >>> batch = next(iter(data.test_dataloader()[0]))
        >>> len(batch.texts), batch.audio.shape[0]
        (2, 2)
    """

    def __init__(
        self,
        train: Any = None,
        validation: Any = None,
        test: Any = None,
        *,
        sample_rate: int = 16000,
        channel: int | str | None = None,
        min_duration: float | None = None,
        max_duration: float | None = None,
        resample: bool = True,
        on_bad_audio: Literal["raise", "skip"] = "raise",
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
        self.sample_rate = sample_rate
        self.channel = channel
        self.resample = resample
        self.on_bad_audio = on_bad_audio
        self.min_duration, self.max_duration = min_duration, max_duration
        self._splits = {"train": train, "validation": validation, "test": test}

    def dataset(self, split: str) -> Any:
        """Return the data set of ``split``, or a mapping of them, or None."""
        given = self._splits.get(split)
        if isinstance(given, Mapping):
            return {name: self._open(source, split) for name, source in given.items()}
        return self._open(given, split)

    def names(self, split: str) -> list[str]:
        """Return the names of the sets of ``split``, in the order of their loaders; none if there is but one."""
        given = self._splits.get(split)
        return list(given) if isinstance(given, Mapping) else []

    def collate(self, items: list[Any]) -> SpeechBatch:
        """Return the batch made of ``items``."""
        return collate_speech(items)

    def _open(self, source: Any, split: str) -> Any:
        if not _is_manifest(source):
            return source
        training = split == "train"
        return SpeechDataset(
            source,
            self.sample_rate,
            channel=self.channel,
            # What is too long to train on still counts in a test.
            min_duration=self.min_duration if training else None,
            max_duration=self.max_duration if training else None,
            resample=self.resample,
            on_bad_audio=self.on_bad_audio,
        )


def _is_manifest(source: Any) -> bool:
    if isinstance(source, Sequence) and not isinstance(source, str):
        return all(isinstance(path, (str, Path)) for path in source)
    return isinstance(source, (str, Path))
