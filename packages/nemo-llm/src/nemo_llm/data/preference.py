"""Pairs of a better and a worse answer to the same prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from nemo_core.errors import DataError
from nemo_llm.data.chat import Conversation, Pairs, read_messages
from nemo_llm.data.conversations import ConversationData, Truncation
from nemo_llm.data.packing import packed_row
from nemo_llm.data.records import Record
from nemo_llm.data.sft import cut, shortened
from nemo_llm.data.token_store import TokenStore

__all__ = ["PreferenceData", "read_preference"]

_SIDES = ("chosen", "rejected")


def read_preference(record: Record) -> tuple[Conversation, Conversation]:
    """Return the chosen and the rejected conversation of a record; only their last answers are to be learned.

    Known are ``prompt``, ``chosen`` and ``rejected`` as texts; the same with ``chosen`` and ``rejected`` as lists of
    messages, and the prompt as a text or a list; and lists that hold the prompt themselves, with no ``prompt``.

    Raises:
        DataError: It is none of these; the message names file, line and key.

    Example:
        >>> record = Record(Path("a.jsonl"), "line", 1, {"prompt": "1 + 1?", "chosen": "2", "rejected": "3"})
        >>> [each.messages[-1]["content"] for each in read_preference(record)]
        ['2', '3']
    """
    values, where = record.values, record.where
    for key in _SIDES:
        if key not in values:
            raise DataError(f"{where}: {key} is missing", hint="a record has prompt, chosen and rejected")
    prompt = values.get("prompt")
    if isinstance(values["chosen"], str):
        if not isinstance(prompt, (str, list)):
            raise DataError(f"{where}: prompt is {'missing' if prompt is None else repr(prompt)}")
        texts = [values[key] for key in _SIDES]
        if not isinstance(texts[1], str):
            raise DataError(f"{where}: rejected is no text, and chosen is one")
        asked = _prompt(prompt, where)
        answers = [[{"role": "assistant", "content": text}] for text in texts]
    else:
        asked = [] if prompt is None else _prompt(prompt, where)
        answers = [read_messages(values[key], where, key) for key in _SIDES]
        if asked and all(answer[: len(asked)] == asked for answer in answers):
            asked = []  # they hold it themselves
    sides = []
    for key, answer in zip(_SIDES, answers, strict=True):
        messages = [*asked, *answer]
        if messages[-1]["role"] != "assistant":
            raise DataError(
                f"{where}: {key} ends with a message of the {messages[-1]['role']}", hint="it ends with an answer"
            )
        sides.append(Conversation(where, messages, pair=isinstance(prompt, str) and len(messages) == 2))
    if _before(sides[0]) != _before(sides[1]):
        raise DataError(
            f"{where}: chosen and rejected do not answer the same",
            hint="all messages but the last have to be the same",
        )
    return sides[0], replace(sides[1], pair=sides[0].pair)


def _prompt(prompt: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return read_messages(prompt, where, "prompt")


def _before(conversation: Conversation) -> list[dict[str, Any]]:
    return conversation.messages[:-1]


class PreferenceData(ConversationData):
    """Pairs of a better and a worse answer, for training on preferences.

    A batch has ``chosen_tokens``, ``chosen_labels``, ``chosen_loss_mask``, ``chosen_position_ids`` and
    ``chosen_segment_ids``, and the same of ``rejected_...``, all (B, S), with shapes and meaning as in
    :class:`~nemo_llm.data.module.LanguageDataModule`. Both sides of a batch are equally long, so that they can pass
    through a model together. The mask is on the last answer.

    Args:
        train: Files to train on, one or a list; :func:`read_preference` says what records may look like.
        validation: Files to validate on; also a mapping of a name to one of these.
        test: Likewise.
        tokenizer: What makes the tokens: a tokenizer, or its folder.
        sequence_length: Most tokens in a row.
        global_batch_size: Pairs in a training step, over all data-parallel replicas.
        eval_global_batch_size: The same for validation and test.
        chat_template: How conversations are written, if not as the tokenizer says.
        pairs: How a prompt and answers that are texts are written: ``chat``, ``text`` or ``auto``.
        truncation: What to do with a pair of which one is longer than a row; see :class:`~nemo_llm.data.sft.ChatData`.
        pad_to_multiple_of: What lengths of rows are rounded up to.
        on_bad_record: ``raise`` an error that names file and line, or ``skip`` the record and log why.
        cache_dir: Folder for tokens, which all processes must see.
        cache_timeout: Seconds that other processes wait without a sign of life of the one that tokenises.
        shuffle: Whether each training epoch has its own order.
        drop_last: Leave out the pairs that do not fill a step.
        num_workers: Processes that load data; 0: the main process does.
        prefetch: Batches that each worker loads ahead.
        pin_memory: Whether to put batches into page-locked memory.
        seed: What the order depends on; that of the run if not given.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "train.jsonl").write_text('{"prompt": "1 + 1 = ", "chosen": "2", "rejected": "three"}')
        >>> data = PreferenceData(
        ...     folder / "train.jsonl", tokenizer="bytes", sequence_length=64, global_batch_size=1, cache_dir=folder
        ... )
        >>> batch = next(iter(data.train_dataloader()))
        >>> [int(batch[f"{side}_loss_mask"].sum()) for side in ("chosen", "rejected")]
        [2, 6]
    """

    shape = "preferences"

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
        pairs: Pairs = "auto",
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
            loss_on="last",
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

    def collate(self, items: list[Any]) -> dict[str, torch.Tensor]:
        """Return the batch made of ``items``, padded to the longest."""
        longest = max(len(item[f"{side}_tokens"]) for item in items for side in _SIDES)
        length = self._length_of(longest - 1)
        rows = []
        for item in items:
            row: dict[str, np.ndarray] = {}
            for side in _SIDES:
                tokens, mask = item[f"{side}_tokens"], item[f"{side}_loss_mask"]
                made = packed_row([tokens], length, loss_masks=[mask], pad_id=self.pad_id)
                row.update({f"{side}_{name}": value for name, value in made.items()})
            rows.append(row)
        return super().collate(rows)

    def _encode(self, records: list[Record]) -> list[list[tuple[list[int], list[int]]]]:
        sides = [side for record in records for side in read_preference(record)]
        encoded = self.encoder.encode(sides)
        return [encoded[place : place + 2] for place in range(0, len(encoded), 2)]

    def _rows(self, store: TokenStore, split: str) -> Any:
        return _Preferences(store, self.sequence_length, self.truncation)


class _Preferences:
    """Pairs, no longer than a row."""

    def __init__(self, store: TokenStore, sequence_length: int, truncation: Truncation) -> None:
        self.store, self.sequence_length, self.truncation = store, sequence_length, truncation
        pairs: Sequence[Sequence[int]] = np.arange(len(store)).reshape(-1, 2)  # type: ignore[assignment]
        self._kept = cut(store, pairs, sequence_length, truncation)

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return ``chosen_tokens`` (n,), ``chosen_loss_mask`` (n,) and the same of ``rejected``."""
        found: dict[str, np.ndarray] = {}
        for side, sequence in zip(_SIDES, self._kept[index], strict=True):
            tokens, mask = shortened(self.store[int(sequence)], self.sequence_length, self.truncation)
            found[f"{side}_tokens"], found[f"{side}_loss_mask"] = tokens, mask
        return found
