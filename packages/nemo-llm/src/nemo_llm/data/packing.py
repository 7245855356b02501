"""Sequence packing: short sequences share rows of full length, and attention keeps them apart (segment ids)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nemo_core.errors import ConfigError, DataError

__all__ = ["Packing", "pack", "packed_row"]

# Bins are searched in blocks: one look at a block's largest gap passes over all of its bins.
_BLOCK = 1024


class Packing(Sequence[np.ndarray]):
    """Which items share a row: row ``r`` holds the items ``packing[r]``.

    Args:
        items: (N,) every item once, row by row.
        starts: (R + 1,) where in ``items`` each row starts, and the end.

    Example:
        >>> packing = pack([5, 3, 4, 2, 2], 8)
        >>> [row.tolist() for row in packing]
        [[0, 1], [2, 3, 4]]
    """

    def __init__(self, items: np.ndarray, starts: np.ndarray) -> None:
        self.items, self.starts = items, starts

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: Any) -> Any:
        row = range(len(self))[row]  # negative rows, and an IndexError where there is none
        if isinstance(row, range):
            return [self[one] for one in row]
        return self.items[self.starts[row] : self.starts[row + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(np.split(self.items, self.starts[1:-1])) if len(self) else iter(())


def pack(lengths: Sequence[int] | np.ndarray, sequence_length: int) -> Packing:
    """Return which items share a row, by first-fit decreasing: the longest first, each in the first row with room.

    It needs at most 11/9 of the fewest possible rows, and a bit (Johnson, 1973). Items of one length are placed
    together, and full blocks of rows are passed over, so that a million items take a second or two.

    Args:
        lengths: (N,) tokens that each item fills in its row.
        sequence_length: Tokens in a row.

    Raises:
        DataError: An item is longer than a row, or has no tokens.
        ConfigError: ``sequence_length`` is not positive.

    Example:
        >>> len(pack([3] * 8, 7)), len(pack([], 7))
        (4, 0)
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if sequence_length < 1:
        raise ConfigError(f"sequence_length is {sequence_length}", hint="give at least 1")
    wrong = np.flatnonzero((sizes < 1) | (sizes > sequence_length))
    if len(wrong):
        raise DataError(
            f"item {wrong[0]} has {sizes[wrong[0]]} tokens: it cannot be packed into rows of {sequence_length}",
            hint="cut or leave out what is longer than sequence_length",
        )
    by_size = np.argsort(-sizes, kind="stable")
    rows = _first_fit(sizes[by_size], sequence_length)
    order = np.argsort(rows, kind="stable")
    count = int(rows.max()) + 1 if len(rows) else 0
    return Packing(by_size[order], np.searchsorted(rows[order], np.arange(count + 1)))


def _first_fit(sizes: np.ndarray, capacity: int) -> np.ndarray:
    """Return the row (N,) of each of ``sizes``, which fall."""
    rows = np.empty(len(sizes), np.int64)
    room = np.zeros(-(-max(1, len(sizes)) // _BLOCK) * _BLOCK, np.int64)  # no more rows than items; 0: not opened yet
    largest = room.reshape(-1, _BLOCK).max(axis=1)  # in each block
    opened = 0
    values, starts, counts = np.unique(-sizes, return_index=True, return_counts=True)
    for size, place, count in zip((-values).tolist(), starts.tolist(), counts.tolist(), strict=True):
        for block in np.flatnonzero(largest[: opened // _BLOCK + 1] >= size).tolist():
            part = room[block * _BLOCK : (block + 1) * _BLOCK]
            fits = part // size
            before = np.cumsum(fits) - fits
            takes = np.clip(count - before, 0, fits)
            taken = int(takes.sum())
            rows[place : place + taken] = block * _BLOCK + np.repeat(np.arange(_BLOCK), takes)
            part -= takes * size
            largest[block] = part.max()
            place, count = place + taken, count - taken
            if count == 0:
                break
        if count:  # open new rows for what is left
            each = capacity // size
            new = -(-count // each)
            rows[place : place + count] = opened + np.arange(count) // each
            room[opened : opened + new] = capacity - each * size
            room[opened + new - 1] = capacity - (count - (new - 1) * each) * size
            touched = slice(opened // _BLOCK, (opened + new - 1) // _BLOCK + 1)
            largest[touched] = room.reshape(-1, _BLOCK)[touched].max(axis=1)
            opened += new
    return rows


def packed_row(
    sequences: Sequence[Any],
    sequence_length: int,
    *,
    loss_masks: Sequence[Any] | None = None,
    pad_id: int = 0,
) -> dict[str, np.ndarray]:
    """Return one training item in which ``sequences`` stand one behind the other, each in a segment of its own.

    A sequence of n tokens fills n - 1 places: its last token is a label only, and no label belongs to another segment.
    So the lengths to :func:`pack` are ``len(sequence) - 1``.

    Args:
        sequences: Tokens of each, (n,) with n >= 2.
        sequence_length: S, tokens in the row.
        loss_masks: For each sequence (n,): which of its tokens are to be learned, such as those of the answer; by
            default all. What the first token says plays no part, since nothing predicts it.
        pad_id: Token in the places that are left.

    Returns:
        tokens (S,) int64, labels (S,) int64, loss_mask (S,) float32, position_ids (S,) int64 and segment_ids (S,)
        int32; see :class:`~nemo_llm.data.module.LanguageDataModule`.

    Raises:
        DataError: They do not fit, one is shorter than two tokens, or a mask has another length than its sequence.

    Example:
        >>> row = packed_row([[5, 6, 7], [8, 9]], 4, loss_masks=[[0, 0, 1], [1, 1]])
        >>> {name: row[name].tolist() for name in ("tokens", "labels", "segment_ids", "position_ids")}
        {'tokens': [5, 6, 8, 0], 'labels': [6, 7, 9, 0], 'segment_ids': [1, 1, 2, 0], 'position_ids': [0, 1, 0, 0]}
        >>> row["loss_mask"].tolist()
        [0.0, 1.0, 1.0, 0.0]
    """
    total = sum(len(sequence) - 1 for sequence in sequences)
    if total > sequence_length:
        raise DataError(
            f"sequences of {total} tokens do not fit in a row of {sequence_length}", hint="make the rows with pack()"
        )
    row: dict[str, np.ndarray] = {
        "tokens": np.full(sequence_length, pad_id, np.int64),
        "labels": np.full(sequence_length, pad_id, np.int64),
        "loss_mask": np.zeros(sequence_length, np.float32),
        "position_ids": np.zeros(sequence_length, np.int64),
        "segment_ids": np.zeros(sequence_length, np.int32),
    }
    masks = loss_masks if loss_masks is not None else [None] * len(sequences)
    if len(masks) != len(sequences):
        raise DataError(f"{len(sequences)} sequences have {len(masks)} loss masks")
    start = 0
    for segment, (sequence, mask) in enumerate(zip(sequences, masks, strict=True), 1):
        if len(sequence) < 2:
            raise DataError(f"a sequence of {len(sequence)} tokens has nothing to predict", hint="leave it out")
        if mask is not None and len(mask) != len(sequence):
            raise DataError(f"a sequence of {len(sequence)} tokens has a loss mask of {len(mask)}")
        end = start + len(sequence) - 1
        row["tokens"][start:end] = sequence[:-1]
        row["labels"][start:end] = sequence[1:]
        row["loss_mask"][start:end] = 1 if mask is None else mask[1:]
        row["position_ids"][start:end] = np.arange(end - start)
        row["segment_ids"][start:end] = segment
        start = end
    return row
