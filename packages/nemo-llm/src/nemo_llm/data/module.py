"""What data modules of language models share: batches are counted over all data-parallel processes together."""

from __future__ import annotations

from typing import Any

import torch

from nemo_core.data import DataModule, ResumableLoader
from nemo_core.errors import ConfigError

__all__ = ["LanguageDataModule"]


class LanguageDataModule(DataModule):
    """Base of data modules whose items are sequences of tokens.

    Items are dicts of arrays or tensors of one length S, which :meth:`collate` stacks to a batch:

    - ``tokens`` (B, S) int64, ``labels`` (B, S) int64: ``labels[:, t]`` is the token after ``tokens[:, t]``;
    - ``loss_mask`` (B, S) float32: how much the prediction of each label counts;
    - optional ``position_ids`` (B, S) int64, and ``segment_ids`` (B, S) int32: 0 is padding, 1, 2, ... the document
      inside which a token attends.

    A training step takes ``global_batch_size`` sequences, whatever the number of processes: each data-parallel replica
    takes an equal share, and which sequences make a step does not depend on how they are shared. Evaluation sets are
    filled up to whole batches with sequences that count for nothing, so that a validation loss does not depend on it
    either.

    Args:
        sequence_length: S, tokens.
        global_batch_size: Sequences in a training step, over all data-parallel replicas.
        eval_global_batch_size: The same for validation and test; ``global_batch_size`` if not given.
        shuffle: Whether each training epoch has its own order.
        drop_last: Leave out the training sequences that do not fill a step.
        num_workers: Processes that load data; 0: the main process does.
        prefetch: Batches that each worker loads ahead.
        pin_memory: Whether to put batches into page-locked memory.
        seed: What order and random items depend on; that of the run if not given.

    Example:
        >>> class Counting(LanguageDataModule):
        ...     def dataset(self, split):
        ...         return [{"tokens": torch.full((2,), n), "loss_mask": torch.ones(2)} for n in range(3)]
        >>> data = Counting(sequence_length=2, global_batch_size=2, shuffle=False)
        >>> [batch["tokens"].tolist() for batch in data.train_dataloader()]
        [[[0, 0], [1, 1]]]
        >>> [batch["loss_mask"].tolist() for batch in data.val_dataloader()[0]]
        [[[1.0, 1.0], [1.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]]]
    """

    def __init__(
        self,
        *,
        sequence_length: int,
        global_batch_size: int,
        eval_global_batch_size: int | None = None,
        shuffle: bool = True,
        drop_last: bool = True,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        for name, value in (
            ("sequence_length", sequence_length),
            ("global_batch_size", global_batch_size),
            ("eval_global_batch_size", eval_global_batch_size),
        ):
            if value is not None and value < 1:
                raise ConfigError(f"data.{name} is {value}", hint="give at least 1")
        super().__init__(
            batch_size=global_batch_size,
            eval_batch_size=eval_global_batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            num_workers=num_workers,
            prefetch=prefetch,
            pin_memory=pin_memory,
            seed=seed,
        )
        self.sequence_length = sequence_length
        self.global_batch_size = global_batch_size
        self.eval_global_batch_size = eval_global_batch_size or global_batch_size

    def filler(self, item: Any) -> Any:
        """Return an item like ``item`` that counts for nothing: every mask of it is zero.

        A subclass whose items are no dicts, or whose masks are not called ``...loss_mask``, says here what to do.
        """
        return {name: value * 0 if name.endswith("loss_mask") else value for name, value in item.items()}

    def collate(self, items: list[Any]) -> dict[str, torch.Tensor]:
        """Return the batch made of ``items``: each entry stacked to (B, ...)."""
        return {name: torch.stack([torch.as_tensor(item[name]) for item in items]) for name in items[0]}

    def _loader(self, dataset: Any, split: str) -> ResumableLoader:
        _, replicas = self._share()
        self.batch_size = _share_of(self.global_batch_size, replicas, "global_batch_size")
        self.eval_batch_size = _share_of(self.eval_global_batch_size, replicas, "eval_global_batch_size")
        if split in ("validation", "test"):
            dataset = _Filled(dataset, self.eval_global_batch_size, self.filler)
        return super()._loader(dataset, split)


class _Filled:
    """A data set filled up to a multiple of ``multiple`` with items that count for nothing."""

    def __init__(self, dataset: Any, multiple: int, filler: Any) -> None:
        self.dataset, self.filler = dataset, filler
        self.size = -(-len(dataset) // multiple) * multiple

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        if index < len(self.dataset):
            return self.dataset[index]
        return self.filler(self.dataset[0])


def _share_of(batch_size: int, replicas: int, name: str) -> int:
    if batch_size % replicas:
        raise ConfigError(
            f"data.{name} is {batch_size}, which does not divide among {replicas} data-parallel replicas",
            hint=f"give a multiple of {replicas}, or change the layout: more tensor, pipeline or context parallelism",
        )
    return batch_size // replicas
