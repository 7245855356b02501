"""The data module of pretraining: token files, blended, split, and cut into sequences of one length."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nemo_core.errors import ConfigError, DataError
from nemo_llm.data.blend import Blend
from nemo_llm.data.indexed import TokenFile
from nemo_llm.data.module import LanguageDataModule
from nemo_llm.data.prepare import read_summary
from nemo_llm.data.sequences import TokenSequences

__all__ = ["PretrainingData", "shares_of"]

_SPLITS = ("train", "validation", "test")
Files = str | Path | Sequence[str | Path]


class PretrainingData(LanguageDataModule):
    """Token files (``nemo llm prepare-data``, or Megatron's tools) for pretraining.

    Each training item is ``sequence_length`` tokens from anywhere: documents stand one behind the other in an order
    that is drawn anew for each pass over a file, and items in another; see
    :class:`~nemo_llm.data.sequences.TokenSequences`. Several files are drawn from in exact proportions; see
    :class:`~nemo_llm.data.blend.Blend`. Every pass uses every token once, whatever an epoch and a batch are.

    Validation and test use every token once, in the order of the files.

    Args:
        train: A prefix (the path without ``.bin`` and ``.idx``), several, a glob, or a mapping of prefixes to weights:
            how much of the training tokens comes from each. Without weights all are used alike.
        validation: Files of their own: a prefix, several, a glob, or a mapping of names to these.
        test: The same for testing.
        split: In their place: parts of the documents of ``train``, as ``98,1,1`` for training, validation and test.
        sequence_length: S, tokens.
        global_batch_size: Sequences in a training step, over all data-parallel replicas.
        eval_global_batch_size: Sequences in a validation step; ``global_batch_size`` if not given.
        epoch_size: Sequences that are called an epoch; by default all, but for those that do not fill a step: they come
            first in the next one.
        reset_position_ids: Count positions from the start of each document.
        reset_attention_mask: Let tokens attend inside their document only.
        eod_mask_loss: Do not count the prediction of a document's first token.
        vocab_size: Of the model. Files that were prepared with a larger vocabulary are refused.
        shuffle: Whether documents and items are shuffled.
        num_workers: Processes that load data; 0: the main process does.
        prefetch: Batches that each worker loads ahead.
        pin_memory: Page-locked memory, for faster copies to a GPU.
        seed: What orders depend on; that of the run if not given.

    Raises:
        DataError: A file is not there or damaged, or has tokens of another vocabulary.
        ConfigError: The arguments do not fit each other.

    Example:
        >>> import tempfile
        >>> from nemo_llm.data import TokenWriter
        >>> prefix = Path(tempfile.mkdtemp(), "numbers")
        >>> with TokenWriter(prefix, np.uint16) as writer:
        ...     writer.add(range(100))
        >>> data = PretrainingData(prefix, sequence_length=8, global_batch_size=4)
        >>> [tuple(batch["tokens"].shape) for batch in data.train_dataloader()]
        [(4, 8), (4, 8), (4, 8)]
    """

    def __init__(
        self,
        train: Files | Mapping[str, float] | None,
        validation: Files | Mapping[str, Files] | None = None,
        test: Files | Mapping[str, Files] | None = None,
        *,
        split: str | Sequence[float] | None = None,
        sequence_length: int,
        global_batch_size: int,
        eval_global_batch_size: int | None = None,
        epoch_size: int | None = None,
        reset_position_ids: bool = False,
        reset_attention_mask: bool = False,
        eod_mask_loss: bool = False,
        vocab_size: int | None = None,
        shuffle: bool = True,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            sequence_length=sequence_length,
            global_batch_size=global_batch_size,
            eval_global_batch_size=eval_global_batch_size,
            shuffle=False,  # of whole items; what is shuffled here is shuffled by the blend, which keeps proportions
            num_workers=num_workers,
            prefetch=prefetch,
            pin_memory=pin_memory,
            seed=seed,
        )
        if split is not None and (validation is not None or test is not None):
            raise ConfigError("data.split divides the training files, and validation or test have files of their own")
        if epoch_size is not None and epoch_size < 1:
            raise ConfigError(f"data.epoch_size is {epoch_size}", hint="give at least 1")
        self.epoch_size, self.shuffled, self.vocab_size = epoch_size, shuffle, vocab_size
        self.options = {
            "reset_position_ids": reset_position_ids,
            "reset_attention_mask": reset_attention_mask,
            "eod_mask_loss": eod_mask_loss,
        }
        self.weights: list[float] | None = None
        if train is None:
            raise ConfigError("data.train is not given", hint="data.train=PREFIX, as `nemo llm prepare-data` wrote it")
        if isinstance(train, Mapping):
            weights = {prefix: weight for name, weight in train.items() for prefix in _prefixes(name)}
            if len(weights) != len(train):
                raise ConfigError("data.train: a name with a weight stands for several files", hint="name each of them")
            self.weights, prefixes = list(weights.values()), list(weights)
        else:
            prefixes = _prefixes(train)
        self.shares = shares_of(split) if split is not None else None
        self.train_files = self._open(prefixes)
        self._evaluation = {"validation": self._open_named(validation), "test": self._open_named(test)}

    def dataset(self, split: str) -> Any:
        """Return the sequences of ``split``, or a mapping of names to them, or None."""
        if split == "train":
            parts = [self._sequences(file, *self._range(file, 0), training=True) for file in self.train_files]
            for file, part in zip(self.train_files, parts, strict=True):
                if not len(part):
                    raise DataError(
                        f"{file.prefix}: {part.tokens} tokens to train on do not make one sequence of "
                        f"{self.sequence_length}",
                        hint="lower data.sequence_length, or give the file a larger part of data.split",
                    )
            size = self.epoch_size or sum(map(len, parts))
            size = max(1, size // self.global_batch_size) * self.global_batch_size
            return Blend(parts, self.weights, size=size, shuffle=self.shuffled, seed=self.seed or 0)
        if split not in _SPLITS:
            return None
        if self.shares is not None:
            number = _SPLITS.index(split)
            if self.shares[number] == 0:
                return None
            return _joined(
                [self._sequences(file, *self._range(file, number)) for file in self.train_files], f"{split} part"
            )
        named = self._evaluation[split]
        if named is None:
            return None
        sets = {
            name: _joined([self._sequences(file, 0, file.documents) for file in files], f"{split} data")
            for name, files in named.items()
        }
        return sets[""] if list(sets) == [""] else sets

    def names(self, split: str) -> list[str]:
        """Return the names of the sets of ``split``, in the order of their loaders; none if there is but one."""
        return [name for name in self._evaluation.get(split) or {} if name]

    def _range(self, file: TokenFile, number: int) -> tuple[int, int]:
        """Return first and last document of a part of a file."""
        if self.shares is None:
            return 0, file.documents
        bounds = np.rint(np.cumsum([0.0, *self.shares]) * file.documents).astype(int)
        return int(bounds[number]), int(bounds[number + 1])

    def _sequences(self, file: TokenFile, first: int, last: int, *, training: bool = False) -> TokenSequences:
        return TokenSequences(
            file,
            self.sequence_length,
            first=first,
            last=last,
            shuffle=training and self.shuffled,
            keep_tail=not training,
            seed=self.seed or 0,
            vocab_size=self.vocab_size,
            **self.options,
        )

    def _open_named(self, given: Files | Mapping[str, Files] | None) -> dict[str, list[TokenFile]] | None:
        if given is None:
            return None
        named: Mapping[str, Files] = given if isinstance(given, Mapping) else {"": given}
        return {name: self._open(_prefixes(files)) for name, files in named.items()}

    def _open(self, prefixes: Sequence[str]) -> list[TokenFile]:
        files = []
        for prefix in prefixes:
            file = TokenFile(prefix)
            if file.dtype.kind not in "iu":
                raise DataError(f"{file.idx_path}: tokens of type {file.dtype} are no numbers of tokens")
            summary = read_summary(prefix)
            if self.vocab_size is not None and summary is not None and summary.vocab_size > self.vocab_size:
                raise DataError(
                    f"{file.prefix} was prepared with a tokenizer of {summary.vocab_size} tokens, but the model has "
                    f"{self.vocab_size}",
                    hint="prepare the data with the tokenizer of the model",
                )
            files.append(file)
        return files


def _prefixes(given: Files) -> list[str]:
    """Return the prefixes that are meant, without suffixes; globs are looked up."""
    found: list[str] = []
    for name in [given] if isinstance(given, str | Path) else given:
        text = str(Path(name).expanduser())
        text = text[:-4] if text.endswith((".bin", ".idx")) else text
        if not glob.has_magic(text) or Path(f"{text}.idx").exists():
            found.append(text)
            continue
        matches = sorted(path[:-4] for path in glob.glob(f"{text}.idx", recursive=True))
        if not matches:
            raise DataError(f"{name} names no token file", hint="a glob is looked up with .idx behind it")
        found += matches
    if not found:
        raise ConfigError("data: no token files are given", hint="give the path without .bin and .idx")
    return found


def shares_of(split: str | Sequence[float]) -> list[float]:
    """Return which parts of the data are for training, validation and test; they add up to 1."""
    try:
        numbers = [float(part) for part in (split.split(",") if isinstance(split, str) else split)]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3 or not all(0 <= number < np.inf for number in numbers) or not numbers[0]:
        raise ConfigError(
            f"data.split is {split!r}", hint="give the parts for training, validation and test: 98,1,1 for example"
        )
    numbers += [0.0] * (3 - len(numbers))
    return [number / sum(numbers) for number in numbers]


def _joined(parts: list[TokenSequences], what: str) -> Any:
    from torch.utils.data import ConcatDataset

    whole = [part for part in parts if len(part)]
    if not whole:
        raise DataError(
            f"{', '.join(part.documents.prefix for part in parts[:3])}: the {what} has no tokens to predict",
            hint="a split is made of whole documents; give it a larger part, or files of its own",
        )
    return ConcatDataset(whole)  # type: ignore[arg-type]
