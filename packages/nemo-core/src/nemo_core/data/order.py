"""The order of items: a pure function of seed, epoch, rank and world size, which no worker process can disturb."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nemo_core.errors import ConfigError, DataError

__all__ = ["BatchOrder", "item_rng"]

# Streams of random numbers drawn from one seed for different purposes must not coincide.
_ORDER, _ITEM = 0, 1


def item_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Return the generator for one item in one epoch; the same three numbers give the same stream anywhere.

    >>> bool(item_rng(0, 3, 17).random() == item_rng(0, 3, 17).random())
    True
    >>> bool(item_rng(0, 3, 17).random() == item_rng(0, 4, 17).random())
    False
    """
    return np.random.default_rng((seed, _ITEM, epoch, index))


class BatchOrder:
    """The batches of each epoch, for one rank.

    Items are taken in *steps*: the items that all ranks process together in one step. A step is dealt to the ranks like
    cards, so that every rank sees the same number of batches and, with buckets, items of like length. Where the items
    left for the last step of a bucket do not divide among the ranks, some of that step are repeated: each item comes
    exactly once per epoch, plus fewer than ``world_size`` repetitions per bucket.

    Args:
        size: Number of items.
        batch_size: Most items in a batch of one rank; may be None where ``batch_length`` is given.
        batch_length: Most padded length of a batch (longest item times number of items), in the unit of ``lengths``.
        lengths: Length of each item, for example in seconds or frames; needed by ``batch_length`` and ``buckets``.
        buckets: Number of groups of like length that batches are drawn from. One: length plays no part.
        shuffle: Whether each epoch has its own order. Otherwise all have that of the items (within a bucket).
        drop_last: Leave out the items that do not fill a step, instead of making smaller batches of them.
        seed: Any integer >= 0.
        rank: Which of the ``world_size`` parts.
        world_size: Number of processes that share the items.
        groups: Sizes of runs of items that lie together, in an archive say, and are best read together: groups are
            shuffled, and items only among ``window`` groups at a time. Needs one bucket.
        window: How many groups are mixed.

    Raises:
        ConfigError: The arguments do not fit each other.
        DataError: ``lengths`` are not positive numbers, or there are not ``size`` of them.

    Example:
        >>> order = BatchOrder(7, batch_size=3, shuffle=False)
        >>> [batch.tolist() for batch in order.batches(epoch=0)]
        [[0, 1, 2], [3, 4, 5], [6]]
        >>> for rank in 0, 1:
        ...     order = BatchOrder(7, batch_size=2, shuffle=False, rank=rank, world_size=2)
        ...     print([batch.tolist() for batch in order.batches(epoch=0)])
        [[0, 2], [4, 6]]
        [[1, 3], [5, 4]]
    """

    def __init__(
        self,
        size: int,
        *,
        batch_size: int | None = None,
        batch_length: float | None = None,
        lengths: Sequence[float] | np.ndarray | None = None,
        buckets: int = 1,
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        groups: Sequence[int] | None = None,
        window: int = 1,
    ) -> None:
        _check(size, batch_size, batch_length, lengths, buckets, seed)
        if groups is not None and (sum(groups) != size or window < 1 or lengths is not None):
            raise ConfigError(f"{len(groups)} groups of {sum(groups)} items in all, {size} items, window {window}")
        self.groups, self.window = groups, window
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank {rank} is not one of 0..{world_size - 1}")
        self.shuffle, self.drop_last, self.seed = shuffle, drop_last, seed
        self.rank, self.world_size = rank, world_size
        if lengths is None:
            assert batch_size is not None
            self._buckets = [(np.arange(size), batch_size)]
        else:
            self._buckets = _make_buckets(np.asarray(lengths, np.float64), buckets, batch_size, batch_length)

    def __len__(self) -> int:
        """Number of batches per epoch: the same in every epoch and on every rank."""
        return sum(self._steps(len(members), batch) for members, batch in self._buckets)

    def _steps(self, members: int, batch: int) -> int:
        step = batch * self.world_size
        return members // step if self.drop_last else -(-members // step)

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Return the item indices of each batch of ``epoch``, in order; costs O(items), however far the epoch is."""
        rng = np.random.default_rng((self.seed, _ORDER, epoch))
        steps: list[np.ndarray] = []
        for members, batch in self._buckets:
            items = self._shuffled(members, rng) if self.shuffle else members
            size = batch * self.world_size
            full = len(items) // size
            steps.extend(items[: full * size].reshape(full, size))
            rest = items[full * size :]
            if len(rest) and not self.drop_last:
                steps.append(np.resize(rest, -(-len(rest) // self.world_size) * self.world_size))
        if self.shuffle and self.groups is None:
            steps = [steps[index] for index in rng.permutation(len(steps))]
        return [step[self.rank :: self.world_size] for step in steps]

    def _shuffled(self, members: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.groups is None:
            return rng.permutation(members)
        runs = np.split(members, np.cumsum(self.groups)[:-1])
        order = rng.permutation(len(runs))
        windows = [order[start : start + self.window] for start in range(0, len(order), self.window)]
        return np.concatenate([rng.permutation(np.concatenate([runs[place] for place in some])) for some in windows])


def _make_buckets(
    lengths: np.ndarray, buckets: int, batch_size: int | None, batch_length: float | None
) -> list[tuple[np.ndarray, int]]:
    """Split the items by length into groups of like size, and say for each how many make a batch."""
    by_length = np.argsort(lengths, kind="stable") if buckets > 1 else np.arange(len(lengths))
    groups = []
    for members in np.array_split(by_length, min(buckets, max(1, len(lengths)))):
        batch = batch_size if batch_size is not None else len(members)
        if batch_length is not None and len(members):
            # The longest of the bucket decides, not of the batch: so the number of batches is the same in every epoch.
            batch = max(1, min(batch, int(batch_length / lengths[members].max())))
        groups.append((np.sort(members), max(1, batch)))
    return groups


def _check(
    size: int,
    batch_size: int | None,
    batch_length: float | None,
    lengths: Sequence[float] | np.ndarray | None,
    buckets: int,
    seed: int,
) -> None:
    if batch_size is None and batch_length is None:
        raise ConfigError("neither batch_size nor batch_length is given", hint="give batch_size=16, say")
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}", hint="give a number of items, at least 1")
    if batch_length is not None and not batch_length > 0:
        raise ConfigError(f"batch_length is {batch_length}", hint="give a length in the unit of the data set's lengths")
    if buckets < 1:
        raise ConfigError(f"buckets is {buckets}", hint="give at least 1")
    if seed < 0:
        raise ConfigError(f"seed is {seed}", hint="give an integer >= 0")
    if lengths is None:
        if batch_length is not None or buckets > 1:
            raise ConfigError(
                "batch_length and buckets need the length of each item, which this data set does not offer",
                hint="give the data set an attribute `lengths`, or use batch_size alone",
            )
        return
    values = np.asarray(lengths, np.float64)
    if values.shape != (size,):
        raise DataError(f"the data set has {size} items, but its lengths have the shape {values.shape}")
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if len(wrong):
        raise DataError(f"item {wrong[0]}: its length is {values[wrong[0]]}", hint="lengths are positive numbers")
