"""Blends: several data sets in given proportions, and orders of items that need no memory."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from nemo_core.errors import ConfigError, DataError

__all__ = ["Blend", "Permutation", "Schedule"]

# Longest period of a schedule, in items; weights that need a longer one are rounded to parts of this.
_LONGEST = 1_000_000
_MASK = (1 << 64) - 1


class Permutation:
    """An order of the numbers below ``size`` that is a pure function: no array of them is kept or computed.

    A Feistel network over the bits of the number; what falls outside is sent through again until it does not (cycle
    walking; Black and Rogaway, 2002).

    Args:
        size: How many numbers.
        key: Integers >= 0; other ones, another order.

    Example:
        >>> order = Permutation(10, (0, 1))
        >>> sorted(order(place) for place in range(10))
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    _ROUNDS = 6

    def __init__(self, size: int, key: Iterable[int]) -> None:
        self.size = size
        bits = max(1, (size - 1).bit_length())
        self._low = bits // 2
        self._masks = (1 << self._low) - 1, (1 << (bits - self._low)) - 1
        self._keys = np.random.SeedSequence(list(key)).generate_state(self._ROUNDS, np.uint64).tolist()

    def __call__(self, place: int) -> int:
        """Return the number at ``place``."""
        if not 0 <= place < self.size:
            raise IndexError(place)
        low_mask, high_mask = self._masks
        while True:
            low, high = place & low_mask, place >> self._low
            for number, key in enumerate(self._keys):
                if number % 2:
                    low ^= _mix(high ^ key) & low_mask
                else:
                    high ^= _mix(low ^ key) & high_mask
            place = high << self._low | low
            if place < self.size:
                return place


def _mix(value: int) -> int:
    """Return a hash of 64 bits (the finalizer of SplitMix64)."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31


class Schedule:
    """Whose turn it is: sources in proportion to weights, each at any moment less than one item off its share.

    That is the problem of fair scheduling with unit jobs (Baruah et al., 1996): the j-th item of a source may come once
    its share exceeds j and must have come before its share exceeds j + 1; earliest deadline first achieves it.

    Args:
        weights: Of each source, positive. They are taken exactly as their decimals say if the turns then repeat after
            at most a million items; else they are rounded to millionths.

    Example:
        >>> schedule = Schedule([0.5, 0.25, 0.25])
        >>> [schedule(position) for position in range(6)]
        [(0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1)]
    """

    def __init__(self, weights: Sequence[float]) -> None:
        shares = _whole(weights)
        period = sum(shares)
        release = np.concatenate([np.arange(share) * period // share for share in shares])
        deadline = np.concatenate([-(-np.arange(1, share + 1) * period // share) for share in shares])
        source = np.repeat(np.arange(len(shares)), shares)
        order = np.argsort(release, kind="stable")
        releases, jobs = release[order].tolist(), (deadline * len(shares) + source)[order].tolist()
        turns = np.empty(period, np.int64)
        waiting: list[int] = []
        following = 0
        for position in range(period):
            while following < period and releases[following] <= position:
                heapq.heappush(waiting, jobs[following])
                following += 1
            turns[position] = heapq.heappop(waiting) % len(shares)
        self._shares = shares
        self._turns = turns.astype(np.int32)
        self._before = np.empty(period, np.int64)  # turns that the source has had in this period
        self._before[np.argsort(turns, kind="stable")] = np.concatenate([np.arange(share) for share in shares])

    def __call__(self, position: int) -> tuple[int, int]:
        """Return whose turn it is at ``position``, and how many turns that source has had before."""
        period, place = divmod(position, len(self._turns))
        source = int(self._turns[place])
        return source, period * self._shares[source] + int(self._before[place])


def _whole(weights: Sequence[float]) -> list[int]:
    """Return the weights as whole numbers with a small sum."""
    exact = []
    for number, weight in enumerate(weights):
        if not (isinstance(weight, int | float | np.number) and 0 < weight < math.inf):
            raise ConfigError(f"weight {number} of the blend is {weight!r}", hint="weights are positive numbers")
        exact.append(Fraction(str(weight)))
    if not exact:
        raise ConfigError("a blend of no data sets", hint="name at least one")
    scale = math.lcm(*(weight.denominator for weight in exact))
    shares = [int(weight * scale) for weight in exact]
    divisor = math.gcd(*shares)
    shares = [share // divisor for share in shares]
    total = sum(shares)
    if total <= _LONGEST:
        return shares
    if len(shares) > _LONGEST // 10:
        raise ConfigError(f"a blend of {len(shares)} data sets", hint="join some of them")
    rounded = [max(1, share * _LONGEST // total) for share in shares]
    for number in sorted(range(len(shares)), key=lambda number: -(shares[number] * _LONGEST % total)):
        if sum(rounded) >= _LONGEST:
            break
        rounded[number] += 1
    return rounded


class Blend:
    """Items of several data sets in given proportions, each set over and over, every time in another order.

    A data set comes to its first repetition when all of its items were drawn once. Where one stands in each set goes on
    from epoch to epoch, so that ``size`` only says how many items are called an epoch. An item is a pure function of
    seed, epoch and index.

    Args:
        datasets: Map-style. A set may have ``in_epoch(epoch, index)`` or ``sample(index, rng)``, which are called as
            :class:`~nemo_core.data.ResumableLoader` does, with the number of the repetition for the epoch.
        weights: How much of what is drawn comes from each; by default in proportion to their sizes.
        size: Items in an epoch; by default as many as the sets have together.
        shuffle: Whether each repetition of a set has its own order.
        seed: What orders and random items depend on.

    Raises:
        ConfigError: Weights are not positive, or there are more or fewer than data sets.
        DataError: A data set has no items.

    Example:
        >>> blend = Blend([list("abc"), list("xyz")], weights=[2, 1], shuffle=False)
        >>> [blend[index] for index in range(len(blend))], [blend.in_epoch(1, index) for index in range(6)]
        (['a', 'b', 'x', 'c', 'a', 'y'], ['b', 'c', 'z', 'a', 'b', 'x'])
    """

    def __init__(
        self,
        datasets: Sequence[Any],
        weights: Sequence[float] | None = None,
        *,
        size: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        if weights is not None and len(weights) != len(datasets):
            raise ConfigError(f"{len(datasets)} data sets are blended with {len(weights)} weights")
        sizes = [len(dataset) for dataset in datasets]
        if 0 in sizes:
            raise DataError(f"data set {sizes.index(0)} of the blend has no items", hint="leave it out")
        self.datasets, self.shuffle, self.seed = list(datasets), shuffle, seed
        self.size = sum(sizes) if size is None else size
        self.schedule = Schedule(sizes if weights is None else weights)
        self._orders: dict[int, tuple[int, Permutation]] = {}  # of each set, the one in use

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        """Return an item of the first epoch."""
        return self.in_epoch(0, range(self.size)[index])

    def in_epoch(self, epoch: int, index: int) -> Any:
        """Return an item of an epoch."""
        number, repetition, item = self.locate(epoch, index)
        dataset = self.datasets[number]
        if hasattr(dataset, "in_epoch"):
            return dataset.in_epoch(repetition, item)
        if hasattr(dataset, "sample"):
            return dataset.sample(item, np.random.default_rng((self.seed, number, repetition, item)))
        return dataset[item]

    def locate(self, epoch: int, index: int) -> tuple[int, int, int]:
        """Return which data set an item comes from, in which repetition of it, and which of its items it is."""
        number, turn = self.schedule(epoch * self.size + index)
        repetition, place = divmod(turn, len(self.datasets[number]))
        if not self.shuffle:
            return number, repetition, place
        known = self._orders.get(number)
        if known is None or known[0] != repetition:
            order = Permutation(len(self.datasets[number]), (self.seed, number, repetition))
            known = self._orders[number] = repetition, order
        return number, repetition, known[1](place)
