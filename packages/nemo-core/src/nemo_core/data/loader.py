"""A PyTorch data loader that can start anywhere in an epoch without loading what came before."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from nemo_core.data.order import BatchOrder, item_rng
from nemo_core.errors import NemoError

__all__ = ["ResumableLoader"]

Key = tuple[int, int]
"""(epoch, index): what travels to the workers, so that a worker that outlives an epoch still knows it."""


@dataclass(frozen=True)
class _Failed:
    """What comes from a worker in place of an item or a batch: why it could not be made.

    torch would raise the error anew with a traceback for its message, and without its hint.
    """

    error: NemoError

    @classmethod
    def of(cls, error: NemoError) -> _Failed:
        """Return what to send instead of ``error``; outside of workers, raise it."""
        if get_worker_info() is None:
            raise error
        error.add_note(f"in a process that loads data:\n{traceback.format_exc()}")  # for --debug
        return cls(error)


class _Items(Dataset[Any]):
    """The data set as workers see it: takes a key, and hands each training item its own random generator."""

    def __init__(self, dataset: Any, seed: int, random: bool) -> None:
        self.dataset = dataset
        self.seed = seed
        self.sample = getattr(dataset, "sample", None) if random else None
        self.in_epoch = getattr(dataset, "in_epoch", None) if random else None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: Key) -> Any:
        try:
            return self._item(*key)
        except NemoError as error:
            return _Failed.of(error)

    def _item(self, epoch: int, index: int) -> Any:
        if self.in_epoch is not None:
            return self.in_epoch(epoch, index)
        if self.sample is None:
            return self.dataset[index]
        return self.sample(index, item_rng(self.seed, epoch, index))


class _Batches(Sampler[list[Key]]):
    """Keys of each batch, from (epoch, start) to the end of the epoch."""

    def __init__(self, order: BatchOrder) -> None:
        self.order = order
        self.epoch = self.start = 0

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.epoch
        for batch in self.order.batches(epoch)[self.start :]:
            yield [(epoch, int(index)) for index in batch]


class _Collate:
    """Makes a batch of items, if all of them could be made."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, items: list[Any]) -> Any:
        failed = next((item for item in items if isinstance(item, _Failed)), None)
        if failed is not None:
            return failed
        try:
            return self.collate(items)
        except NemoError as error:
            return _Failed.of(error)


class ResumableLoader(DataLoader[Any]):
    """Batches of a data set in the order of a :class:`BatchOrder`, from any (epoch, batch) on.

    Where to start is asked when the first batch of an epoch is fetched, and it is the *trainer* that is asked: the
    loader itself has fetched ahead, and is set up before a checkpoint is read. Neither the number of workers nor how
    far they prefetch changes what is read.

    Args:
        dataset: Map-style. If it has ``in_epoch(epoch, index)`` or ``sample(index, rng)``, that is called when
            ``random``; else ``dataset[index]``.
        order: Which items form which batch.
        collate: Makes a batch of a list of items.
        position: Returns the epoch and how many of its batches are done. Without it, that is what
            :meth:`load_state_dict` says, and the first epoch to begin with.
        random: Training: items may differ from epoch to epoch, or be drawn with a random generator, which is a function
            of (seed, epoch, index).
        num_workers: Number of processes that load; 0: the main process does.
        prefetch: Batches that each worker fetches ahead.
        pin_memory: Whether batches are put into page-locked memory, for faster copies to a GPU, where there is one.

    Example:
        >>> loader = ResumableLoader([10, 11, 12, 13], BatchOrder(4, batch_size=1, shuffle=False), list)
        >>> loader.load_state_dict({"epoch": 0, "batch": 2})
        >>> list(loader), len(loader)
        ([[12], [13]], 4)
    """

    def __init__(
        self,
        dataset: Any,
        order: BatchOrder,
        collate: Callable[[list[Any]], Any],
        *,
        position: Callable[[], tuple[int, int]] | None = None,
        random: bool = False,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(
            _Items(dataset, order.seed, random),
            batch_sampler=_Batches(order),
            collate_fn=_Collate(collate),
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            prefetch_factor=prefetch if num_workers > 0 else None,
            # Without a GPU torch pins nothing and warns; the same recipe is to run on a laptop in silence.
            pin_memory=pin_memory and torch.cuda.is_available(),
            # A generator of its own: without one, each new iterator draws from torch's global stream, and dropout in a
            # resumed run would differ from that in one that was never stopped.
            generator=torch.Generator().manual_seed(order.seed),
        )
        self._position = position
        self._start = (0, 0)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the batches that are left of the present epoch."""
        assert isinstance(self.batch_sampler, _Batches)
        self.batch_sampler.epoch, self.batch_sampler.start = self._position() if self._position else self._start
        for batch in super().__iter__():
            if isinstance(batch, _Failed):
                raise batch.error
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return where the trainer is."""
        epoch, batch = self._position() if self._position else self._start
        return {"epoch": epoch, "batch": batch}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Start the next iteration at ``state``, unless there is a trainer that knows better."""
        self._start = state["epoch"], state["batch"]
