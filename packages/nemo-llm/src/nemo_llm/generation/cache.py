"""Keys and values of the tokens so far, kept between steps.

All rows end in the same column: a shorter prompt has padding on its left. So a step writes one column of every row, a
sliding window is the same columns for all, and only a mask knows of the padding.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LayerCache", "attention_mask"]

#: Columns that the buffers grow by, at least.
_BLOCK = 128


class LayerCache:
    """What one layer keeps, in buffers that grow by blocks; with a sliding window only what that still sees.

    Args:
        window: Tokens that the layer sees, the newest included; None: all.

    Attributes:
        first: Which column the oldest that is kept is.

    Example:
        >>> cache = LayerCache(window=2)
        >>> for token in range(3):
        ...     keys, values = cache.append(torch.full((1, 1, 1, 4), token), torch.zeros(1, 1, 1, 4))
        >>> cache.first, keys[0, 0, :, 0].tolist()
        (1, [1, 2])
    """

    def __init__(self, window: int | None = None) -> None:
        self.window = window
        self.first = 0
        self._start = self._end = 0  # of what is kept, within the buffers
        self._buffers: tuple[Tensor, Tensor] | None = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write new columns, and return all that their tokens may see: (B, H, T, D) of keys and of values.

        Args:
            keys: (B, H, n, D).
            values: (B, H, n, E).
        """
        count = keys.shape[2]
        if self.window is not None:  # the first of the new tokens sees window - 1 old ones
            drop = max(0, self._end - self._start - (self.window - 1))
            self._start += drop
            self.first += drop
        self._reserve(count, keys, values)
        assert self._buffers is not None
        self._buffers[0][:, :, self._end : self._end + count] = keys
        self._buffers[1][:, :, self._end : self._end + count] = values
        self._end += count
        return self._buffers[0][:, :, self._start : self._end], self._buffers[1][:, :, self._start : self._end]

    def select(self, rows: Tensor, first: int = 0) -> None:
        """Keep some rows only, and no columns before ``first``.

        Args:
            rows: Indices of rows that stay.
            first: First column that any of them needs.
        """
        if self._buffers is None:
            return
        drop = min(max(0, first - self.first), self._end - self._start)
        self._start += drop
        self.first += drop
        kept = [buffer[:, :, self._start : self._end].index_select(0, rows) for buffer in self._buffers]
        self._fill(kept, self._end - self._start + _BLOCK)

    def _reserve(self, count: int, keys: Tensor, values: Tensor) -> None:
        if self._buffers is None:
            self._fill([keys[:, :, :0], values[:, :, :0]], count + _BLOCK)
        elif self._end + count > self._buffers[0].shape[2]:
            kept = [buffer[:, :, self._start : self._end] for buffer in self._buffers]
            size = self._end - self._start
            # What has a window keeps its size; the rest grows by a quarter, so that copying stays a small part.
            self._fill(kept, size + count + max(_BLOCK, 0 if self.window is not None else size // 4))

    def _fill(self, kept: list[Tensor], capacity: int) -> None:
        size = kept[0].shape[2]
        buffers = [each.new_empty((*each.shape[:2], capacity, each.shape[3])) for each in kept]
        for buffer, each in zip(buffers, kept, strict=True):
            buffer[:, :, :size] = each
        self._buffers = (buffers[0], buffers[1])
        self._start, self._end = 0, size


def attention_mask(
    columns: range, first: int, padding: Tensor | None, window: int | None, device: torch.device
) -> Tensor | None:
    """Return which of the kept columns each new token sees: (B or 1, 1, n, T) bool.

    None says that a token sees itself and all before it; where there is one new token only, or nothing is kept but the
    new ones.

    Args:
        columns: Of the new tokens, the last of which is the last that is kept.
        first: The oldest column that is kept.
        padding: (B), how many columns at the left of each row are padding; None if no row has any.
        window: Tokens that a token sees, itself included; None: all before it.
        device: Where the mask is needed.

    Example:
        >>> attention_mask(range(1, 3), 0, None, None, torch.device("cpu"))[0, 0].int().tolist()
        [[1, 1, 0], [1, 1, 1]]
        >>> attention_mask(range(2), 0, None, None, torch.device("cpu")) is None
        True
    """
    simple = len(columns) == 1 or columns.start == first
    if simple and padding is None and (window is None or columns.stop - first <= window):
        return None
    queries = torch.arange(columns.start, columns.stop, device=device)[:, None]
    keys = torch.arange(first, columns.stop, device=device)[None]
    mask = keys <= queries
    if window is not None:
        mask = mask & (keys > queries - window)
    if padding is None:
        return mask[None, None]
    # A column of padding sees itself, for a softmax over nothing is not a number; nobody sees it.
    real = keys[None] >= padding[:, None, None]
    return (mask & (real | (keys == queries)))[:, None]
