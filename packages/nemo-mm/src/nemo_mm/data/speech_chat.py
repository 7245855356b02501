"""Batches of conversations with audio, for speech-language models."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from nemo_core.errors import ConfigError, DataError
from nemo_llm.data.chat import ChatEncoder, LossOn
from nemo_llm.data.module import LanguageDataModule
from nemo_llm.data.sequences import training_item
from nemo_mm.data.conversations import expanded
from nemo_mm.data.spoken import AUDIO_MARK, SkippedRow, SpeechConversations, SpokenRow, embedding_count

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["SpeechChatData", "SpeechEncoder", "collate_audio"]

_log = logging.getLogger(__name__)


class SpeechEncoder:
    """Turns conversations with audio into tokens, with one placeholder for each embedding of the audio.

    Args:
        tokenizer: What makes the tokens.
        samples_per_embedding: How many samples an embedding of the model's reader stands for.
        chat_template: How conversations are written, if not as the tokenizer says.
        loss_on: What is to be learned.
        media_token: Special token of the tokenizer whose places embeddings take.

    Raises:
        ConfigError: The tokenizer has no such token, or there is no chat template.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        samples_per_embedding: int,
        *,
        chat_template: str | None = None,
        loss_on: LossOn = "assistant",
        media_token: str = AUDIO_MARK,
    ) -> None:
        from nemo_llm.tokenizers import ChatTemplate

        template = None if chat_template is None else ChatTemplate.of(chat_template)
        self.chat = ChatEncoder(tokenizer, template=template, loss_on=loss_on, pairs="chat")
        if samples_per_embedding < 1:
            raise ConfigError(f"data.samples_per_embedding is {samples_per_embedding}", hint="give at least 1")
        self.tokenizer, self.samples_per_embedding = tokenizer, samples_per_embedding
        found = tokenizer.special_tokens.get(media_token)
        if found is None:
            raise ConfigError(
                f"the tokenizer has no special token {media_token}",
                hint="add it to tokenizer.special_tokens, or name one that no text has: media_token=...",
            )
        self.mark, self.media_token = media_token, found

    def encode(self, row: SpokenRow) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens (n,) and mask (n,) of a row.

        Raises:
            DataError: A text cannot be encoded, an audio has no samples, or marks and audio do not agree.
        """
        conversation = replace(row.conversation, messages=self._marked(row.conversation.messages))
        ids, mask = self.chat.encode([conversation])[0]
        return self.with_places(ids, mask, row.audio, row.conversation.where)

    def prompt(
        self, messages: Sequence[Mapping[str, Any]], audio: Sequence[np.ndarray], where: str = "the question"
    ) -> np.ndarray:
        """Return the tokens (n,) up to where the answer to ``messages`` begins."""
        template = self.chat.template
        assert template is not None
        text = template.render(self._marked(messages), add_generation_prompt=True, **self.tokenizer._token_names())
        ids = self.tokenizer.encode(text, bos=False)
        return self.with_places(ids, [0] * len(ids), audio, where)[0]

    def _marked(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return messages with the tokenizer's mark in the place of ``<audio>``."""
        return [
            {**message, "content": text.replace(AUDIO_MARK, self.mark)}
            if isinstance(text := message.get("content"), str)
            else dict(message)
            for message in messages
        ]

    def with_places(
        self, ids: Sequence[int], mask: Sequence[int], audio: Sequence[np.ndarray], where: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens and mask with as many placeholders for each mark as its audio has embeddings."""
        tokens = np.asarray(ids, np.int64)
        marks = int((tokens == self.media_token).sum())
        if marks != len(audio):
            raise DataError(
                f"{where}: its texts say {AUDIO_MARK} {marks} times, and it has {len(audio)} recordings",
                hint=f"write {AUDIO_MARK} once for each recording",
            )
        if any(len(samples) == 0 for samples in audio):
            raise DataError(f"{where}: a recording has no samples")
        counts = [embedding_count(len(samples), self.samples_per_embedding) for samples in audio]
        return expanded(tokens, np.asarray(mask, np.int64), counts, self.media_token)


class SpeechChatData(LanguageDataModule):
    r"""Conversations with audio to train on, and to be asked in evaluation.

    Each of ``train``, ``validation`` and ``test`` is a file of conversations, a list of files
    (:class:`~nemo_mm.data.spoken.SpeechConversations`), or a data set of :class:`~nemo_mm.data.spoken.SpokenRow`
    (:class:`~nemo_mm.data.speech_tasks.SpeechTasks`, :class:`~nemo_mm.data.speech_tasks.SpeechMixture`). Validation and
    test may also be mappings of a name to one of these.

    Batches are those of :class:`~nemo_llm.data.module.LanguageDataModule`, rows as long as the longest of the batch,
    and, with M the most recordings in a row and T the longest in samples (both 0 in a batch of text only):

    - ``audio`` (B, M, T) float32, ``audio_length`` (B, M) int64 in samples, ``audio_counts`` (B,) int64;
    - with ``transcripts``, ``transcript`` (B, M, U) and ``transcript_length`` (B, M) int64, in tokens: 0 where nobody
      knows what is said;
    - ``kind`` (B,) int64: number of the task, among :meth:`kinds`; ``skipped`` (B,) int64: 1 for a row that stands for
      one whose audio was bad, and counts for nothing.

    Args:
        train: What to train on.
        validation: What to validate on.
        test: What to test on.
        tokenizer: What makes the tokens: a tokenizer, or its folder.
        samples_per_embedding: How many samples an embedding of the model's reader stands for.
        sample_rate: Of the audio in files, once read, Hz.
        sequence_length: Most tokens in a row, embeddings of audio included.
        global_batch_size: Rows in a training step, over all data-parallel replicas.
        eval_global_batch_size: The same for validation and test.
        chat_template: How conversations are written, if not as the tokenizer says: a name, a file, or Jinja.
        loss_on: What is to be learned: all that the ``assistant`` says, the ``last`` of it, or ``all``.
        media_token: Special token of the tokenizer whose places embeddings take, if it has no ``<audio>``.
        transcripts: Whether batches have what is said, for a CTC loss (``ctc_weight`` of the model's architecture).
        channel: Which channel of files that have several.
        resample: If false, a file of another rate is bad audio instead of being resampled.
        on_bad_audio: What to do with a row whose audio is bad, or that is too long: ``raise`` an error that names file
            and line, or ``skip`` it, log why and count it.
        buckets: Groups of rows of like length that training steps are drawn from; more make less padding.
        pad_to_multiple_of: What lengths of rows are rounded up to.
        shuffle: Whether each training epoch has its own order.
        drop_last: Leave out the rows that do not fill a step.
        num_workers: Processes that load data; 0: the main process does.
        prefetch: Batches that each worker loads ahead.
        pin_memory: Whether to put batches into page-locked memory.
        seed: What order and augmentation depend on; that of the run if not given.

    Example:
        >>> import json, tempfile, soundfile
        >>> from nemo_llm.tokenizers import CharacterTokenizer
        >>> folder = Path(tempfile.mkdtemp())
        >>> soundfile.write(folder / "a.wav", np.zeros(4000), 8000)
        >>> _ = (folder / "a.jsonl").write_text('{"prompt": "<audio>What?", "completion": "No.", "audio": "a.wav"}')
        >>> tokenizer = CharacterTokenizer("WhatNo?.\n", special_tokens=["<audio>"])
        >>> template = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}\n{% else %}"
        >>> template += "{% generation %}{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}"
        >>> data = SpeechChatData(
        ...     folder / "a.jsonl", tokenizer=tokenizer, chat_template=template, samples_per_embedding=800,
        ...     sample_rate=8000, sequence_length=64, global_batch_size=1,
        ... )
        >>> batch = next(iter(data.train_dataloader()))
        >>> int((batch["tokens"] == 9).sum()), tuple(batch["audio"].shape), batch["audio_length"].tolist()
        (5, (1, 1, 4000), [[4000]])
    """

    def __init__(
        self,
        train: Any = None,
        validation: Any = None,
        test: Any = None,
        *,
        tokenizer: Any,
        samples_per_embedding: int,
        sample_rate: int = 16000,
        sequence_length: int = 2048,
        global_batch_size: int = 32,
        eval_global_batch_size: int | None = None,
        chat_template: str | None = None,
        loss_on: LossOn = "assistant",
        media_token: str = AUDIO_MARK,
        transcripts: bool = False,
        channel: int | str | None = None,
        resample: bool = True,
        on_bad_audio: Literal["raise", "skip"] = "raise",
        buckets: int = 1,
        pad_to_multiple_of: int = 8,
        shuffle: bool = True,
        drop_last: bool = True,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            sequence_length=sequence_length,
            global_batch_size=global_batch_size,
            eval_global_batch_size=eval_global_batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            num_workers=num_workers,
            prefetch=prefetch,
            pin_memory=pin_memory,
            seed=seed,
        )
        if pad_to_multiple_of < 1:
            raise ConfigError(f"data.pad_to_multiple_of is {pad_to_multiple_of}", hint="give at least 1")
        if on_bad_audio not in ("raise", "skip"):
            raise ConfigError(f"data.on_bad_audio is {on_bad_audio!r}", hint="raise or skip")
        from nemo_llm.tokenizers import Tokenizer, load_tokenizer

        self.tokenizer = tokenizer if isinstance(tokenizer, Tokenizer) else load_tokenizer(tokenizer)
        self.encoder = SpeechEncoder(
            self.tokenizer,
            samples_per_embedding,
            chat_template=chat_template,
            loss_on=loss_on,
            media_token=media_token,
        )
        self.transcripts = transcripts
        self.sample_rate, self.channel, self.resample = sample_rate, channel, resample
        self.on_bad_audio, self.buckets, self.pad_to_multiple_of = on_bad_audio, buckets, pad_to_multiple_of
        self._splits = {"train": train, "validation": validation, "test": test}

    def names(self, split: str) -> list[str]:
        """Return the names of the sets of ``split``, in the order of their loaders; none if there is but one."""
        given = self._splits.get(split)
        return list(given) if isinstance(given, Mapping) else []

    def kinds(self, split: str, index: int = 0) -> list[str]:
        """Return the names of the tasks in a set of ``split``, by number; none where it has no tasks."""
        given = self._splits.get(split)
        if isinstance(given, Mapping):
            given = list(given.values())[index]
        return list(getattr(given, "kinds", ()))

    def dataset(self, split: str) -> Any:
        """Return the data set of ``split``, or a mapping of them, or None."""
        given = self._splits.get(split)
        if isinstance(given, Mapping):
            return {name: self._rows(source) for name, source in given.items()}
        return None if given is None else self._rows(given)

    def _rows(self, source: Any) -> _Rows:
        several = isinstance(source, Sequence) and all(isinstance(each, (str, Path)) for each in source)
        if isinstance(source, (str, Path)) or several:
            source = SpeechConversations(
                source,
                self.sample_rate,
                channel=self.channel,
                resample=self.resample,
                on_bad_audio=self.on_bad_audio,
            )
        return _Rows(source, self.encoder, self.sequence_length, skip=self.on_bad_audio == "skip")

    def collate(self, items: list[Any]) -> dict[str, Tensor]:
        """Return the batch made of ``items``, padded to the longest."""
        multiple = self.pad_to_multiple_of
        longest = max(len(item["tokens"]) for item in items) - 1
        length = min(self.sequence_length, -(-longest // multiple) * multiple)
        rows = [self._padded(item, length) for item in items]
        batch = {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}
        batch |= collate_audio([item["audio"] for item in items])
        return {**batch, **self._said(items, batch["audio_length"].shape)} if self.transcripts else batch

    def _said(self, items: Sequence[Mapping[str, Any]], shape: Sequence[int]) -> dict[str, Tensor]:
        """Return the tokens of what is said in each recording, and how many they are."""
        rows = [
            [self.tokenizer.encode(text, bos=False, parse_special=False) for text in item["transcripts"]]
            for item in items
        ]
        longest = max((len(each) for row in rows for each in row), default=0)
        tokens, length = torch.zeros(*shape, longest, dtype=torch.long), torch.zeros(*shape, dtype=torch.long)
        for number, row in enumerate(rows):
            for place, each in enumerate(row):
                tokens[number, place, : len(each)] = torch.tensor(each, dtype=torch.long)
                length[number, place] = len(each)
        return {"transcript": tokens, "transcript_length": length}

    def filler(self, item: Any) -> Any:
        """Return a row like ``item`` that counts for nothing."""
        return {**item, "loss_mask": item["loss_mask"] * 0}

    def _padded(self, item: Mapping[str, Any], length: int) -> dict[str, np.ndarray]:
        row = training_item(item["tokens"], length)
        mask = item["loss_mask"][1:]
        row["loss_mask"][: len(mask)] = mask
        return {**row, "kind": np.array(item["kind"]), "skipped": np.array(item["skipped"])}


def collate_audio(recordings: Sequence[Sequence[np.ndarray]]) -> dict[str, Tensor]:
    """Return the recordings of each row as ``audio`` (B, M, T), ``audio_length`` (B, M) and ``audio_counts`` (B,).

    Example:
        >>> batch = collate_audio([[np.ones(3, np.float32)], []])
        >>> batch["audio"].shape, batch["audio_length"].tolist(), batch["audio_counts"].tolist()
        (torch.Size([2, 1, 3]), [[3], [0]], [1, 0])
    """
    most = max(map(len, recordings))
    longest = max((len(samples) for row in recordings for samples in row), default=0)
    audio = np.zeros((len(recordings), most, longest), np.float32)
    length = np.zeros((len(recordings), most), np.int64)
    for number, row in enumerate(recordings):
        for place, samples in enumerate(row):
            audio[number, place, : len(samples)] = samples
            length[number, place] = len(samples)
    counts = torch.tensor([len(row) for row in recordings], dtype=torch.long)
    return {"audio": torch.from_numpy(audio), "audio_length": torch.from_numpy(length), "audio_counts": counts}


class _Rows:
    """Rows as tokens; what cannot be learned from is skipped or raised."""

    def __init__(self, source: Any, encoder: SpeechEncoder, sequence_length: int, *, skip: bool) -> None:
        self.source, self.encoder, self.sequence_length, self.skip = source, encoder, sequence_length, skip
        self._draw = getattr(source, "sample", None)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._item(self.source[index])

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Return a training item; ``rng`` is for data sets that draw."""
        return self._item(self.source[index] if self._draw is None else self._draw(index, rng))

    @property
    def lengths(self) -> Any:
        """Of every row, in the unit of the data set, or None."""
        return getattr(self.source, "lengths", None)

    def _item(self, row: SpokenRow | SkippedRow) -> dict[str, Any]:
        if isinstance(row, SkippedRow):
            return _nothing()
        try:
            tokens, mask = self.encoder.encode(row)
            if len(tokens) > self.sequence_length + 1:
                raise DataError(
                    f"{row.conversation.where}: the row has {len(tokens)} tokens, embeddings of its audio included, "
                    f"and {self.sequence_length + 1} fit",
                    hint="raise data.sequence_length, or cut the audio",
                )
        except DataError as error:
            if not self.skip:
                raise
            return _nothing(error)
        item = {"tokens": tokens, "loss_mask": mask, "audio": row.audio, "kind": row.kind, "skipped": 0}
        return {**item, "transcripts": row.transcripts}


def _nothing(error: DataError | None = None) -> dict[str, Any]:
    """Return a row that counts for nothing."""
    if error is not None:
        _log.warning("skipped: %s", error.message)
    nothing = np.zeros(2, np.int64)
    return {"tokens": nothing, "loss_mask": nothing, "audio": [], "kind": 0, "skipped": 1, "transcripts": []}
