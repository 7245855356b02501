"""Random tokens, for benchmarks and tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nemo_core.errors import ConfigError
from nemo_llm.data.module import LanguageDataModule
from nemo_llm.data.sequences import training_item

__all__ = ["MockData", "MockDocuments"]

_SPLITS = ("train", "validation", "test")


class MockData(LanguageDataModule):
    """Sequences of random tokens, which depend on (seed, split, index) alone: nothing can be learned from them.

    Args:
        vocab_size: Tokens are drawn from 0 to this.
        sequence_length: S, tokens.
        global_batch_size: Sequences in a training step, over all data-parallel replicas.
        size: Sequences in a training epoch.
        eval_size: Sequences in the validation and in the test set.
        documents: Documents in each sequence; with more than one, tokens attend inside their document only.
        eval_global_batch_size: Sequences in a validation step; ``global_batch_size`` if not given.
        num_workers: Processes that load data.
        prefetch: Batches that each of them loads ahead.
        pin_memory: Page-locked memory, for faster copies to a GPU.
        seed: What the tokens depend on; that of the run if not given.

    Example:
        >>> data = MockData(vocab_size=100, sequence_length=8, global_batch_size=2, size=4)
        >>> batch = next(iter(data.train_dataloader()))
        >>> {name: tuple(value.shape) for name, value in batch.items()}
        {'tokens': (2, 8), 'labels': (2, 8), 'loss_mask': (2, 8)}
        >>> bool((batch["tokens"][:, 1:] == batch["labels"][:, :-1]).all())
        True
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        sequence_length: int,
        global_batch_size: int,
        size: int = 1000,
        eval_size: int = 16,
        documents: int = 1,
        eval_global_batch_size: int | None = None,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            sequence_length=sequence_length,
            global_batch_size=global_batch_size,
            eval_global_batch_size=eval_global_batch_size,
            num_workers=num_workers,
            prefetch=prefetch,
            pin_memory=pin_memory,
            seed=seed,
        )
        if vocab_size < 1 or not 1 <= documents <= sequence_length:
            raise ConfigError(f"data: {documents} documents of {vocab_size} tokens in {sequence_length} cannot be made")
        self.vocab_size, self.size, self.eval_size, self.documents = vocab_size, size, eval_size, documents

    def dataset(self, split: str) -> Any:
        """Return the sequences of ``split``, or None."""
        if split not in _SPLITS:
            return None
        return _MockSequences(self, _SPLITS.index(split), self.size if split == "train" else self.eval_size)


class _MockSequences:
    def __init__(self, data: MockData, split: int, size: int) -> None:
        self.key = data.seed or 0, split
        self.size, self.vocab_size, self.sequence_length = size, data.vocab_size, data.sequence_length
        parts = np.linspace(0, data.sequence_length, data.documents + 1).round().astype(int)
        self.starts = parts[1:-1].tolist()

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng((*self.key, range(self.size)[index]))
        apart = bool(self.starts)
        return training_item(
            rng.integers(0, self.vocab_size, self.sequence_length + 1),
            self.sequence_length,
            self.starts,
            reset_position_ids=apart,
            reset_attention_mask=apart,
            eod_mask_loss=apart,
        )


class MockDocuments:
    """Documents in memory, in the place of a token file.

    >>> MockDocuments([[1, 2, 3], [4]]).document(0, 1).tolist()
    [2, 3]
    """

    def __init__(self, documents: Sequence[Sequence[int]], prefix: str = "mock") -> None:
        self.prefix = prefix
        self._documents = [np.asarray(document, np.int64) for document in documents]
        self.document_lengths = np.array([len(document) for document in documents], np.int64)

    def document(self, index: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return tokens of a document (T,)."""
        return self._documents[index][start:stop]
