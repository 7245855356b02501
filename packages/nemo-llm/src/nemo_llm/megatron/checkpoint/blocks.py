"""A stretch of a flattened tensor as rectangular blocks, which is how it can be stored and read as part of the whole.

The distributed optimizer divides a buffer that weights lie in one behind the other; a process has some stretch of a
weight, which begins and ends in the midst of a row. Such a stretch is at most ``2 * dimensions - 1`` blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

__all__ = ["blocks"]

Block = tuple[int, tuple[int, ...], tuple[int, ...]]


def blocks(shape: tuple[int, ...], start: int, stop: int) -> Iterator[Block]:
    """Yield (first element, offsets, sizes) of blocks that make up elements ``start`` to ``stop``, in order.

    Args:
        shape: Of the tensor.
        start: First element of the stretch, counting along rows.
        stop: The one after its last.

    Example:
        >>> list(blocks((3, 4), 2, 10))  # the end of row 0, row 1, the beginning of row 2
        [(2, (0, 2), (1, 2)), (4, (1, 0), (1, 4)), (8, (2, 0), (1, 2))]
        >>> list(blocks((3, 4), 4, 12))
        [(4, (1, 0), (2, 4))]
        >>> list(blocks((), 0, 1))
        [(0, (), ())]
    """
    if start >= stop:
        return
    if not shape:
        yield 0, (), ()
        return
    if len(shape) == 1:
        yield start, (start,), (stop - start,)
        return
    row = math.prod(shape[1:])
    first, last = -(-start // row), stop // row  # whole rows
    if first > last:  # within one row
        yield from _within(shape, row, last, start, stop)
        return
    if start < first * row:
        yield from _within(shape, row, first - 1, start, first * row)
    if first < last:
        yield first * row, (first,) + (0,) * (len(shape) - 1), (last - first, *shape[1:])
    if last * row < stop:
        yield from _within(shape, row, last, last * row, stop)


def _within(shape: tuple[int, ...], row: int, index: int, start: int, stop: int) -> Iterator[Block]:
    base = index * row
    for element, offsets, sizes in blocks(shape[1:], start - base, stop - base):
        yield base + element, (index, *offsets), (1, *sizes)
