"""The base class of data modules: a subclass says what the items are and how they make a batch; the rest is here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytorch_lightning import LightningDataModule

from nemo_core.config.configured import Configured
from nemo_core.data.loader import ResumableLoader
from nemo_core.data.order import BatchOrder
from nemo_core.errors import DataError

__all__ = ["DataModule"]


class DataModule(LightningDataModule, Configured):
    """Data of one task: its splits, how they are batched, and loaders that resume exactly.

    Subclasses implement :meth:`dataset`, and :meth:`collate` where torch's default does not do. A data set is map-style
    (``len``, ``[index]``). If it has ``sample(index, rng)``, training calls that instead, with a
    ``numpy.random.Generator`` that depends on (seed, epoch, index) alone; all randomness should come from it, since
    that is what makes a resumed run see the same data. If it has ``in_epoch(epoch, index)``, training calls that: its
    items are another function of the index in each epoch. If it has ``lengths`` (seconds or frames per item), batches
    can be formed by length. If it has ``groups`` (sizes of runs of items that lie together, in an archive say) and
    ``window``, training reads these runs nearly in sequence; see :class:`BatchOrder`.

    Args:
        batch_size: Most items in a batch of one process; None where ``batch_length`` alone decides.
        batch_length: Most padded length of a training batch (longest item x items), in the unit of ``lengths``.
        eval_batch_size: The same for validation and test; ``batch_size`` if not given.
        buckets: Groups of like length that training batches are drawn from; more make less padding.
        shuffle: Whether each training epoch has its own order.
        drop_last: Leave out the training items that do not fill a batch.
        num_workers: Processes that load data; 0: the main process does.
        prefetch: Batches that each worker loads ahead.
        pin_memory: Whether to put batches into page-locked memory.
        seed: What order and random items depend on; that of the run if not given.

    Example:
        >>> class Squares(DataModule):
        ...     def dataset(self, split):
        ...         return [x * x for x in range(4)]
        >>> data = Squares(batch_size=2, shuffle=False)
        >>> [batch.tolist() for batch in data.train_dataloader()]
        [[0, 1], [4, 9]]
    """

    def __init__(
        self,
        *,
        batch_size: int | None = 16,
        batch_length: float | None = None,
        eval_batch_size: int | None = None,
        buckets: int = 1,
        shuffle: bool = True,
        drop_last: bool = False,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.batch_size, self.batch_length, self.eval_batch_size = batch_size, batch_length, eval_batch_size
        self.buckets, self.shuffle, self.drop_last = buckets, shuffle, drop_last
        self.num_workers, self.prefetch, self.pin_memory = num_workers, prefetch, pin_memory
        self.seed = seed

    def dataset(self, split: str) -> Any:
        """Return the data set of ``split`` ("train", "validation", "test" or "predict"), or None if there is none.

        Validation and test may be a mapping of name -> data set; each gets a loader of its own, in that order.
        """
        raise NotImplementedError

    def collate(self, items: list[Any]) -> Any:
        """Return the batch made of ``items``; by default as torch does, which stacks tensors of equal shapes."""
        from torch.utils.data import default_collate

        return default_collate(items)

    def train_dataloader(self) -> ResumableLoader:
        """Return the loader of training batches, which goes on where the trainer's checkpoint was made."""
        dataset = self.dataset("train")
        if dataset is None:
            raise DataError(f"{type(self).__name__} has no training data")
        return self._loader(dataset, "train")

    def val_dataloader(self) -> list[ResumableLoader]:
        """Return a loader for each validation set."""
        return self._evaluation_loaders("validation")

    def test_dataloader(self) -> list[ResumableLoader]:
        """Return a loader for each test set."""
        return self._evaluation_loaders("test")

    def predict_dataloader(self) -> list[ResumableLoader]:
        """Return a loader for each set to predict."""
        return self._evaluation_loaders("predict")

    def _evaluation_loaders(self, split: str) -> list[ResumableLoader]:
        found = self.dataset(split)
        if found is None:
            return []
        return [self._loader(dataset, split) for dataset in (found.values() if isinstance(found, Mapping) else [found])]

    def _loader(self, dataset: Any, split: str) -> ResumableLoader:
        training = split == "train"
        if len(dataset) == 0:
            raise DataError(f"{type(self).__name__}: the {split} data set has no items")
        batch_size = self.batch_size if training else (self.eval_batch_size or self.batch_size or 1)
        by_length = training and (self.batch_length is not None or self.buckets > 1)
        rank, world_size = self._share()
        order = BatchOrder(
            len(dataset),
            batch_size=batch_size,
            batch_length=self.batch_length if training else None,
            lengths=getattr(dataset, "lengths", None) if by_length else None,
            buckets=self.buckets if training else 1,
            shuffle=self.shuffle and training,
            drop_last=self.drop_last and training,
            seed=self.seed or 0,
            rank=rank,
            world_size=world_size,
            groups=getattr(dataset, "groups", None) if training and not by_length else None,
            window=getattr(dataset, "window", 1),
        )
        if len(order) == 0:
            raise DataError(
                f"{type(self).__name__}: {len(dataset)} {split} items do not fill one batch, and drop_last is set",
                hint="make batches smaller or leave drop_last out",
            )
        return ResumableLoader(
            dataset,
            order,
            self.collate,
            position=self._position if training else None,
            random=training,
            num_workers=self.num_workers,
            prefetch=self.prefetch,
            pin_memory=self.pin_memory,
        )

    def _share(self) -> tuple[int, int]:
        """Return this process's rank and the number of processes among which items are divided."""
        if self.trainer is None:
            return 0, 1
        # With tensor or pipeline parallelism several processes work on the same items: only the strategy knows.
        share = getattr(self.trainer.strategy, "distributed_sampler_kwargs", None)
        return (share["rank"], share["num_replicas"]) if share else (0, 1)

    def _position(self) -> tuple[int, int]:
        """Return the trainer's epoch and how many of its batches are done."""
        if self.trainer is None:
            return 0, 0
        return self.trainer.current_epoch, self.trainer.fit_loop.epoch_loop.batch_progress.current.completed

    def __getstate__(self) -> dict[str, Any]:
        # Workers that are spawned get a copy of this object (through ``collate``); the trainer must not go with it.
        return {**self.__dict__, "trainer": None}
