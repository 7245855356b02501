"""Pairs of things that belong together: a picture and its caption, a recording and a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nemo_core.data import DataModule
from nemo_core.errors import ConfigError, DataError
from nemo_mm.data.fronts import Front

__all__ = ["Pair", "PairBatch", "PairData"]


@dataclass(frozen=True, slots=True)
class Pair:
    """One item of a data set of pairs.

    Attributes:
        first: A source that the front end of the first kind reads, such as a path or pixels.
        second: Likewise for the second kind; or several, such as all captions of a picture, of which training draws one
            and evaluation takes the first.
        name: Where it comes from, for messages.
        label: Number of its class, where there are classes: pairs of one class belong to each other.
        others: Sources of the second kind that do not belong to ``first``: evaluation counts how often the right one
            fits better than all of them.
    """

    first: Any
    second: Any
    name: str = ""
    label: int | None = None
    others: Sequence[Any] = ()


class PairBatch(NamedTuple):
    """A batch of pairs."""

    first: dict[str, Tensor]
    """What the first tower takes."""
    second: dict[str, Tensor]
    """What the second tower takes."""
    names: list[str]
    """Where each pair comes from."""
    labels: Tensor | None = None
    """Class of each pair (B,), where there are classes."""
    skipped: int = 0
    """Pairs that were left out because they are damaged."""
    others: dict[str, Tensor] | None = None
    """What the second tower takes of all that does not belong to the first, where evaluation asks for it (M, ...)."""
    owners: Tensor | None = None
    """Which pair each of these stands against (M,)."""


@dataclass(frozen=True, slots=True)
class _Skipped:
    reason: str


class PairData(DataModule):
    """Training, validation and test data of pairs.

    Each of ``train``, ``validation`` and ``test`` is a data set of :class:`Pair`, or the path (or paths) of files with
    captions: JSON lines or Parquet (:class:`~nemo_mm.data.Captions`), or tar archives
    (:class:`~nemo_mm.data.TarPairs`).

    Args:
        first: Reads the first kind: an ``mm.ImageTransform``, say; the same as in the model.
        second: Reads the second kind: ``mm.TextTokens``, say.
        train: What to train on.
        validation: What to validate on.
        test: What to test on.
        augmentation: What the first kind goes through in training, before it is read: a function of source and random
            generator, such as ``mm.RandomAffine``.
        train_labels: Whether training sees the classes of pairs, where they have some, and takes all of one class for
            belonging together; otherwise it learns from the pairs alone.
        on_bad_pair: ``raise``, or ``skip`` pairs whose picture is damaged or whose caption is missing; they are counted
            as ``train_skipped``. What is behind the damage of a tar archive is left out too, and logged.
        batch_size: Most pairs in a batch of one process.
        eval_batch_size: Most pairs in a validation or test batch.
        shuffle: Whether each training epoch has its own order.
        drop_last: Leave out the pairs that do not fill a batch: what a pair is compared with is the rest of its batch.
        num_workers: Processes that load data.
        prefetch: Batches that each of them loads ahead.
        pin_memory: Page-locked memory, for faster copies to a GPU.
        seed: What order and augmentation depend on; that of the run if not given.

    Example:
        >>> from nemo_llm.tokenizers import ByteTokenizer
        >>> from nemo_mm.data import TextTokens
        >>> from nemo_mm.images import ImageTransform
        >>> pairs = [Pair(np.zeros((4, 4), np.uint8), ("black", "dark")), Pair(np.ones((4, 4), np.uint8), "night")]
        >>> data = PairData(ImageTransform(4), TextTokens(ByteTokenizer()), train=pairs, batch_size=2)
        >>> batch = next(iter(data.train_dataloader()))
        >>> batch.first["images"].shape, batch.second["tokens"].shape
        (torch.Size([2, 3, 4, 4]), torch.Size([2, 6]))
    """

    def __init__(
        self,
        first: Front,
        second: Front,
        train: Any = None,
        validation: Any = None,
        test: Any = None,
        *,
        augmentation: Callable[[Any, np.random.Generator], Any] | None = None,
        train_labels: bool = False,
        on_bad_pair: Literal["raise", "skip"] = "raise",
        batch_size: int = 128,
        eval_batch_size: int | None = None,
        shuffle: bool = True,
        drop_last: bool = True,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            num_workers=num_workers,
            prefetch=prefetch,
            pin_memory=pin_memory,
            seed=seed,
        )
        if on_bad_pair not in ("raise", "skip"):
            raise ConfigError(f"on_bad_pair is {on_bad_pair!r}", hint="raise or skip")
        self.first, self.second = first, second
        self.augmentation, self.on_bad_pair = augmentation, on_bad_pair
        self.train_labels = train_labels
        self._splits = {"train": train, "validation": validation, "test": test}

    def dataset(self, split: str) -> Any:
        """Return the data set of ``split``, or a mapping of them, or None."""
        given = self._splits.get(split)
        if isinstance(given, Mapping):
            return {name: self._open(source) for name, source in given.items()}
        return None if given is None else self._open(given)

    def names(self, split: str) -> list[str]:
        """Return the names of the sets of ``split``, in the order of their loaders; none if there is but one."""
        given = self._splits.get(split)
        return list(given) if isinstance(given, Mapping) else []

    def collate(self, items: list[Any]) -> PairBatch:
        """Return the batch made of ``items``."""
        good = [item for item in items if not isinstance(item, _Skipped)]
        skipped = len(items) - len(good)
        if not good:
            return PairBatch({}, {}, [], None, skipped)
        first, second, names, labels, others = zip(*good, strict=True)
        numbers = None if any(label is None for label in labels) else torch.tensor(labels)
        every = [other for group in others for other in group]
        owners = [place for place, group in enumerate(others) for _ in group]
        against = (self.second.batch(every), torch.tensor(owners)) if every else (None, None)
        return PairBatch(self.first.batch(first), self.second.batch(second), list(names), numbers, skipped, *against)

    def _open(self, source: Any) -> _Read:
        from nemo_mm.data.captions import open_pairs

        return _Read(open_pairs(source, on_bad_shard=self.on_bad_pair), self)


class _Read:
    """A data set of pairs, read: what the loader sees."""

    def __init__(self, pairs: Any, data: PairData) -> None:
        self.pairs = pairs
        self.first, self.second = data.first, data.second
        self.augmentation, self.skips = data.augmentation, data.on_bad_pair == "skip"
        self.train_labels = data.train_labels
        for name in ("groups", "window"):  # how the order of what lies in archives is drawn
            if hasattr(pairs, name):
                setattr(self, name, getattr(pairs, name))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Any:
        return self._read(lambda: self.pairs[index], None)

    def sample(self, index: int, rng: np.random.Generator) -> Any:
        """Return the pair for training, varied."""
        varied = getattr(self.pairs, "sample", None)
        return self._read(lambda: self.pairs[index] if varied is None else varied(index, rng), rng)

    def _read(self, get: Callable[[], Pair], rng: np.random.Generator | None) -> Any:
        try:
            pair = get()
            second = pair.second
            if isinstance(second, Sequence) and not isinstance(second, str | bytes):
                if not second:
                    raise DataError(f"{pair.name}: has no caption")
                second = second[0 if rng is None else int(rng.integers(len(second)))]
            if isinstance(second, str) and not second.strip():
                raise DataError(f"{pair.name}: the caption is empty")
            first = pair.first
            if rng is not None and self.augmentation is not None:
                first = self.augmentation(first, rng)
            name = pair.name or None
            label = pair.label if rng is None or self.train_labels else None
            others = [self.second.read(other, name) for other in pair.others] if rng is None else []
            return self.first.read(first, name), self.second.read(second, name), pair.name, label, others
        except DataError as error:
            if not self.skips:
                hint = error.hint or "mend or leave it out; on_bad_pair=skip leaves out all such pairs"
                raise DataError(error.message, hint=hint) from error
            return _Skipped(error.message)
