"""Samples of one length out of documents of any: drawn across their boundaries, in another order every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from nemo_core.errors import DataError

__all__ = ["TokenSequences", "training_item"]

_DOCUMENTS = 2  # the stream of random numbers that orders of documents are drawn from; 0 and 1 are core's


class Documents(Protocol):
    """What holds documents: a :class:`~nemo_llm.data.indexed.TokenFile`."""

    prefix: str

    @property
    def document_lengths(self) -> np.ndarray:
        """Tokens in each document (D,)."""

    def document(self, index: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return tokens of a document (T,)."""


class TokenSequences:
    """Training items of ``sequence_length`` tokens, cut from documents that stand one behind the other.

    In each epoch all documents form one row, in another order (if ``shuffle``); item i begins at token
    ``i * sequence_length`` of it and has one token more than that as its last label. So every token but the first is
    predicted once, except for fewer than ``sequence_length`` at the end, which make no whole item; with ``keep_tail``
    they are the last item, filled up with what counts for nothing.

    Nothing is computed that is as long as the number of tokens or items: an epoch costs one permutation of the
    documents, and an item a binary search.

    Args:
        documents: Where the documents are.
        sequence_length: S.
        first: First document of those to use.
        last: Document after the last one to use; by default the end.
        shuffle: Whether each epoch has its own order of documents.
        keep_tail: Whether what is left at the end makes an item.
        seed: What the order depends on.
        reset_position_ids: Count positions from the start of each document, instead of the item.
        reset_attention_mask: Let tokens attend inside their document only (``segment_ids``).
        eod_mask_loss: Do not count the prediction of a document's first token, which comes out of another document.
        vocab_size: Of the model: tokens beyond it are an error.

    Example:
        >>> from nemo_llm.data.mock import MockDocuments
        >>> items = TokenSequences(MockDocuments([[1, 2, 3], [4, 5]]), 2, reset_attention_mask=True, keep_tail=True)
        >>> [items[index]["tokens"].tolist() for index in range(len(items))]
        [[1, 2], [3, 4]]
        >>> items[1]["labels"].tolist(), items[1]["segment_ids"].tolist()
        ([4, 5], [1, 2])
    """

    def __init__(
        self,
        documents: Documents,
        sequence_length: int,
        *,
        first: int = 0,
        last: int | None = None,
        shuffle: bool = False,
        keep_tail: bool = False,
        seed: int = 0,
        reset_position_ids: bool = False,
        reset_attention_mask: bool = False,
        eod_mask_loss: bool = False,
        vocab_size: int | None = None,
    ) -> None:
        self.documents, self.sequence_length = documents, sequence_length
        self.first, self.last = first, len(documents.document_lengths) if last is None else last
        self.shuffle, self.keep_tail, self.seed = shuffle, keep_tail, seed
        self.options = {
            "reset_position_ids": reset_position_ids,
            "reset_attention_mask": reset_attention_mask,
            "eod_mask_loss": eod_mask_loss,
        }
        self.vocab_size = vocab_size
        self.tokens = int(documents.document_lengths[self.first : self.last].sum())
        predicted = max(0, self.tokens - 1)
        self._size = -(-predicted // sequence_length) if keep_tail else predicted // sequence_length
        self._rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Return an item of the first epoch."""
        return self.in_epoch(0, index)

    def in_epoch(self, epoch: int, index: int) -> dict[str, np.ndarray]:
        """Return an item of an epoch; see :func:`training_item`."""
        index = range(self._size)[index]
        order, ends = self._row(epoch if self.shuffle else 0)
        begin = index * self.sequence_length
        wanted = min(self.sequence_length + 1, self.tokens - begin)
        place = int(np.searchsorted(ends, begin, side="right"))
        skip = begin - (int(ends[place - 1]) if place else 0)
        pieces: list[np.ndarray] = []
        starts: list[int] = []  # places in the item where a document begins
        got = 0
        while got < wanted:
            piece = self.documents.document(self.first + int(order[place]), skip, skip + wanted - got)
            if len(piece):
                if got:
                    starts.append(got)
                pieces.append(piece)
                got += len(piece)
            place, skip = place + 1, 0
        tokens = np.concatenate(pieces).astype(np.int64)
        if self.vocab_size is not None and (tokens.max() >= self.vocab_size or tokens.min() < 0):
            wrong = int(tokens.max() if tokens.max() >= self.vocab_size else tokens.min())
            raise DataError(
                f"{self.documents.prefix}.bin has the token {wrong}, but the vocabulary has {self.vocab_size}",
                hint="prepare the data with the tokenizer of the model",
            )
        return training_item(tokens, self.sequence_length, starts, **self.options)

    def _row(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the order of documents (D,), and the number of tokens up to the end of each (D,)."""
        if epoch not in self._rows:
            lengths = self.documents.document_lengths[self.first : self.last]
            order: np.ndarray = np.arange(len(lengths), dtype=np.uint32 if len(lengths) < 1 << 32 else np.int64)
            if self.shuffle:
                np.random.default_rng((self.seed, _DOCUMENTS, epoch)).shuffle(order)
                lengths = lengths[order]
            # Loaders that read ahead, and blends that start a repetition, need the epoch before for a little while.
            self._rows = {old: row for old, row in self._rows.items() if old == epoch - 1}
            self._rows[epoch] = order, np.cumsum(lengths, dtype=np.int64)
        return self._rows[epoch]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rows": {}}  # a worker draws the order itself


def training_item(
    tokens: np.ndarray,
    sequence_length: int,
    starts: Sequence[int] = (),
    *,
    reset_position_ids: bool = False,
    reset_attention_mask: bool = False,
    eod_mask_loss: bool = False,
) -> dict[str, np.ndarray]:
    """Return the item that ``tokens`` make.

    Args:
        tokens: Up to S + 1 of them; what they are fewer is filled up with what counts for nothing.
        sequence_length: S.
        starts: Places in ``tokens`` where a document begins, but for the first.
        reset_position_ids: Count positions from the start of each document.
        reset_attention_mask: Say which document each token belongs to.
        eod_mask_loss: Do not count the prediction of a document's first token.

    Returns:
        tokens (S,) int64, labels (S,) int64 and loss_mask (S,) float32; where asked for or needed, position_ids (S,)
        int64 and segment_ids (S,) int32.

    Example:
        >>> item = training_item(np.array([7, 8, 9]), 4, [2], reset_position_ids=True)
        >>> {name: value.tolist() for name, value in item.items() if name != "loss_mask"}
        {'tokens': [7, 8, 0, 0], 'labels': [8, 9, 0, 0], 'position_ids': [0, 1, 0, 0]}
    """
    size = len(tokens) - 1
    item: dict[str, np.ndarray] = {
        "tokens": np.zeros(sequence_length, np.int64),
        "labels": np.zeros(sequence_length, np.int64),
        "loss_mask": np.zeros(sequence_length, np.float32),
    }
    item["tokens"][:size] = tokens[:-1]
    item["labels"][:size] = tokens[1:]
    item["loss_mask"][:size] = 1
    inside = [start for start in starts if start < size]
    if eod_mask_loss:
        item["loss_mask"][[start - 1 for start in starts if start <= size]] = 0
    if reset_position_ids:
        positions = np.arange(sequence_length)
        for start in inside:
            positions[start:size] = np.arange(size - start)
        positions[size:] = 0
        item["position_ids"] = positions
    if reset_attention_mask:
        segments = np.ones(sequence_length, np.int32)
        segments[inside] += 1
        item["segment_ids"] = np.cumsum(segments, dtype=np.int32) - np.arange(sequence_length, dtype=np.int32)
        item["segment_ids"][size:] = 0
    return item
