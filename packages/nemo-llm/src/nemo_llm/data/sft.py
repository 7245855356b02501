"""Conversations to fine-tune on: tokenised once, padded to the longest of a batch or packed into full rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from nemo_core.errors import DataError
from nemo_llm.data.chat import LossOn, Pairs, read_conversation
from nemo_llm.data.conversations import ConversationData, Truncation
from nemo_llm.data.packing import pack, packed_row
from nemo_llm.data.records import Record
from nemo_llm.data.token_store import TokenStore

__all__ = ["ChatData", "PackedRows", "Unpacked", "cut", "shortened"]

_log = logging.getLogger(__name__)


class ChatData(ConversationData):
    """Conversations to fine-tune on.

    Files are JSON lines, JSON arrays or Parquet; :func:`~nemo_llm.data.chat.read_conversation` says what records may
    look like. Their tokens are kept on disk under a name that says what is in the files, so that a second run, and each
    process of a job but the first, finds them there.

    Batches are as :class:`~nemo_llm.data.module.LanguageDataModule` says. Without packing a row is one conversation,
    and rows are as long as the longest of the batch, rounded up; with packing they are ``sequence_length`` tokens of
    conversations that do not see each other.

    Args:
        train: Files to train on: one, or a list.
        validation: Files to validate on; also a mapping of a name to one of these.
        test: Likewise.
        tokenizer: What makes the tokens: a tokenizer, or its folder.
        sequence_length: Most tokens in a row.
        global_batch_size: Rows in a training step, over all data-parallel replicas.
        eval_global_batch_size: The same for validation and test.
        chat_template: How conversations are written, if not as the tokenizer says: a name (``chatml``), a file, or
            Jinja.
        loss_on: What is to be learned: all that the ``assistant`` says, the ``last`` of it, or ``all`` of the text.
        pairs: How questions and answers without roles are written: ``chat``, ``text``, or ``auto``: as a chat where
            there is a template.
        packing: Whether rows are packed.
        truncation: What to do with a conversation that is longer than a row: cut its ``right`` or ``left`` end off,
            ``drop`` it, or raise an ``error``.
        pad_to_multiple_of: What lengths of rows are rounded up to; a layout with context or sequence parallelism
            needs a multiple of its own.
        on_bad_record: ``raise`` an error that names file and line, or ``skip`` the record and log why.
        cache_dir: Folder for tokens, which all processes must see; by default ``tokens`` in the cache folder of nemo.
        cache_timeout: Seconds that other processes wait without a sign of life of the one that tokenises.
        shuffle: Whether each training epoch has its own order.
        drop_last: Leave out the rows that do not fill a step.
        num_workers: Processes that load data; 0: the main process does.
        prefetch: Batches that each worker loads ahead.
        pin_memory: Whether to put batches into page-locked memory.
        seed: What the order depends on; that of the run if not given.

    Raises:
        ConfigError: Settings do not fit each other, or there is no chat template where one is needed.
        DataError: A file or record cannot be used; the message names file, line and key.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "train.jsonl").write_text('{"prompt": "1 + 1 = ", "completion": "2"}')
        >>> data = ChatData(
        ...     folder / "train.jsonl", tokenizer="bytes", sequence_length=64, global_batch_size=1, cache_dir=folder
        ... )
        >>> batch = next(iter(data.train_dataloader()))
        >>> tuple(batch["tokens"].shape), bytes(batch["labels"][0, batch["loss_mask"][0] > 0][:1].tolist())
        ((1, 16), b'2')
    """

    shape = "conversations"

    def __init__(
        self,
        train: Any = None,
        validation: Any = None,
        test: Any = None,
        *,
        tokenizer: Any,
        sequence_length: int = 2048,
        global_batch_size: int = 32,
        eval_global_batch_size: int | None = None,
        chat_template: str | None = None,
        loss_on: LossOn = "assistant",
        pairs: Pairs = "auto",
        packing: bool = False,
        truncation: Truncation = "right",
        pad_to_multiple_of: int = 8,
        on_bad_record: Literal["raise", "skip"] = "raise",
        cache_dir: str | Path | None = None,
        cache_timeout: float = 600.0,
        shuffle: bool = True,
        drop_last: bool = True,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            train,
            validation,
            test,
            tokenizer=tokenizer,
            chat_template=chat_template,
            loss_on=loss_on,
            pairs=pairs,
            truncation=truncation,
            pad_to_multiple_of=pad_to_multiple_of,
            on_bad_record=on_bad_record,
            cache_dir=cache_dir,
            cache_timeout=cache_timeout,
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
        self.packing = packing

    def collate(self, items: list[Any]) -> dict[str, torch.Tensor]:
        """Return the batch made of ``items``, padded to the longest if they are not packed."""
        if not self.packing:
            length = self._length_of(max(len(item["tokens"]) for item in items) - 1)
            items = [
                packed_row([item["tokens"]], length, loss_masks=[item["loss_mask"]], pad_id=self.pad_id)
                for item in items
            ]
        return super().collate(items)

    def _encode(self, records: list[Record]) -> list[list[tuple[list[int], list[int]]]]:
        return [[each] for each in self.encoder.encode([read_conversation(record) for record in records])]

    def _rows(self, store: TokenStore, split: str) -> Any:
        rows = Unpacked(store, self.sequence_length, self.truncation)
        return PackedRows(rows, self.sequence_length, self.pad_id) if self.packing else rows


class Unpacked:
    """Conversations one by one, no longer than a row.

    Args:
        store: Their tokens.
        sequence_length: Most tokens in a row; a conversation has one more, the last label.
        truncation: See :class:`ChatData`.

    Attributes:
        lengths: (N,) tokens that each fills in a row.
    """

    def __init__(self, store: TokenStore, sequence_length: int, truncation: Truncation) -> None:
        self.store, self.sequence_length, self.truncation = store, sequence_length, truncation
        self._kept = cut(store, [[index] for index in range(len(store))], sequence_length, truncation)[:, 0]
        self.lengths = np.minimum(store.lengths[self._kept] - 1, sequence_length)

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return ``tokens`` and ``loss_mask`` (n,), n >= 2."""
        tokens, mask = shortened(self.store[int(self._kept[index])], self.sequence_length, self.truncation)
        return {"tokens": tokens, "loss_mask": mask}


class PackedRows:
    """Rows of conversations that do not see each other.

    Args:
        conversations: What is packed.
        sequence_length: Tokens in a row.
        pad_id: Token in the places that are left.
    """

    def __init__(self, conversations: Unpacked, sequence_length: int, pad_id: int) -> None:
        self.conversations, self.sequence_length, self.pad_id = conversations, sequence_length, pad_id
        self.packing = pack(conversations.lengths, sequence_length)
        filled = conversations.lengths.sum() / max(1, len(self.packing) * sequence_length)
        _log.info("%d conversations in %d rows, %.1f %% full", len(conversations), len(self.packing), 100 * filled)

    def __len__(self) -> int:
        return len(self.packing)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return a row as :func:`~nemo_llm.data.packing.packed_row` does."""
        items = [self.conversations[int(item)] for item in self.packing[index]]
        return packed_row(
            [item["tokens"] for item in items],
            self.sequence_length,
            loss_masks=[item["loss_mask"] for item in items],
            pad_id=self.pad_id,
        )


def cut(store: TokenStore, groups: Sequence[Sequence[int]], sequence_length: int, truncation: Truncation) -> np.ndarray:
    """Return the groups of sequences that are kept, (N, G): those in which something is left to learn.

    Args:
        store: The sequences.
        groups: Which of them belong together.
        sequence_length: Most tokens in a row; a sequence has one more, the last label.
        truncation: See :class:`ChatData`.

    Raises:
        DataError: One is too long and ``truncation`` is ``error``, or none is kept.
    """
    indices = np.asarray(groups, np.int64)
    long = store.lengths > sequence_length + 1
    if truncation == "error" and long.any():
        first = int(np.flatnonzero(long)[0])
        raise DataError(
            f"{store.where(first)}: the conversation has {store.lengths[first]} tokens, and a row takes "
            f"{sequence_length + 1}",
            hint="raise data.sequence_length, or choose data.truncation=right, left or drop",
        )
    learned: np.ndarray = store.learned > 0
    for index in np.flatnonzero(long).tolist():
        learned[index] = shortened(store[index], sequence_length, truncation)[1][1:].any()
    if truncation == "drop":
        learned &= ~long
    kept: np.ndarray = np.asarray(learned[indices].all(axis=1))
    if not kept.all():
        _log.warning("left out %d conversations of %d: too long, or nothing to learn", (~kept).sum(), len(kept))
    elif long.any():
        _log.warning("shortened %d conversations of %d", long.sum(), len(long))
    if not kept.any():
        raise DataError(
            f"of {len(kept)} conversations none has anything to learn within {sequence_length} tokens",
            hint="raise data.sequence_length, or choose another data.loss_on or data.truncation",
        )
    found: np.ndarray = indices[kept]
    return found


def shortened(
    sequence: tuple[np.ndarray, np.ndarray], sequence_length: int, truncation: Truncation
) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens and mask, cut to what a row takes."""
    most = sequence_length + 1
    tokens, mask = sequence
    return (tokens[-most:], mask[-most:]) if truncation == "left" else (tokens[:most], mask[:most])
