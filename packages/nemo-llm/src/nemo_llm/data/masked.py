"""Texts of which some tokens are masked, for models that guess them (Devlin et al., 2019, arXiv:1810.04805)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from nemo_core.errors import ConfigError
from nemo_llm.data.text import ItemMaker, TextData

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["MaskedTextData", "Masking"]


@dataclass(frozen=True)
class Masking:
    """Makes an item of tokens: some are to be guessed, and most of those are masked.

    Of every ten tokens to be guessed eight become the mask, one another token, and one stays as it is.

    Attributes:
        sequence_length: S.
        mask_id: The mask.
        replacements: Tokens that may take a token's place.
        probability: Part of the tokens that are to be guessed; at least one.
        masked, replaced: Part of those that become the mask, and another token.
        start_id, end_id: Tokens before and behind each text, if there are any; they are not guessed.
        pad_id: What fills up; its place is in segment 0.

    Example:
        >>> make = Masking(8, mask_id=9, replacements=np.arange(9), probability=0.25, start_id=7)
        >>> item = make(np.arange(6), np.random.default_rng(0))
        >>> {name: value.tolist() for name, value in item.items()}
        {'tokens': [7, 0, 1, 2, 9, 9, 5, 0], 'labels': [7, 0, 1, 2, 3, 4, 5, 0],
         'loss_mask': [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0], 'segment_ids': [1, 1, 1, 1, 1, 1, 1, 0]}
    """

    sequence_length: int
    mask_id: int
    replacements: np.ndarray
    probability: float = 0.15
    masked: float = 0.8
    replaced: float = 0.1
    start_id: int | None = None
    end_id: int | None = None
    pad_id: int = 0

    @property
    def room(self) -> int:
        """Tokens of the text in an item."""
        return self.sequence_length - (self.start_id is not None) - (self.end_id is not None)

    def __call__(self, text: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return tokens, labels, loss_mask and segment_ids, all ``(S,)``."""
        before = [] if self.start_id is None else [self.start_id]
        behind = [] if self.end_id is None else [self.end_id]
        whole = np.concatenate([before, text, behind]).astype(np.int64)
        count = max(1, round(self.probability * len(text)))
        guessed = len(before) + rng.choice(len(text), count, replace=False)
        tokens = whole.copy()
        fate = rng.random(count)
        tokens[guessed[fate < self.masked]] = self.mask_id
        others = guessed[(fate >= self.masked) & (fate < self.masked + self.replaced)]
        tokens[others] = rng.choice(self.replacements, len(others))
        size = len(whole)
        item: dict[str, np.ndarray] = {
            "tokens": np.full(self.sequence_length, self.pad_id, np.int64),
            "labels": np.full(self.sequence_length, self.pad_id, np.int64),
            "loss_mask": np.zeros(self.sequence_length, np.float32),
            "segment_ids": np.zeros(self.sequence_length, np.int32),
        }
        item["tokens"][:size], item["labels"][:size] = tokens, whole
        item["loss_mask"][guessed] = 1
        item["segment_ids"][:size] = 1
        return item


class MaskedTextData(TextData):
    """Windows of a text, other tokens of which are masked in each epoch; in validation always the same.

    Args:
        files: Text files (UTF-8), read one behind the other; ``tiny_shakespeare`` is the text that comes with the
            package.
        tokenizer: The tokenizer, or the folder or file where one is; by default the characters of the text and the
            mask.
        mask_token: Special token that is the mask.
        start_token: Special token before each window; None, or where the tokenizer has none of that name: there is
            none.
        end_token: Special token behind it, likewise.
        mask_probability: Part of the tokens that are to be guessed.
        split: Parts of the text, in characters, for training, validation and, if there is a third, test.
        windows: ``random``: each training window starts anywhere, at another place in each epoch; ``strided``: they
            start ``stride`` tokens from each other.
        stride: Tokens between the starts of strided windows; ``sequence_length`` if not given.
        sequence_length: S, tokens of a sequence, those before and behind the text counted.
        global_batch_size: Windows in a training step, over all data-parallel replicas.
        eval_global_batch_size: The same for validation; ``global_batch_size`` if not given.
        epoch_size: Random windows that are called an epoch.
        shuffle: Whether strided windows come in another order in each epoch.
        num_workers: Processes that load data.
        prefetch: Batches that each of them loads ahead.
        pin_memory: Page-locked memory, for faster copies to a GPU.
        seed: What places, orders and masks depend on; that of the run if not given.

    Raises:
        ConfigError: The tokenizer has no mask.
        DataError: A file is not there or no UTF-8, or a part of the text is too short.

    Example:
        >>> data = MaskedTextData("tiny_shakespeare", sequence_length=64, global_batch_size=4)
        >>> batch = next(iter(data.train_dataloader()))
        >>> tuple(batch["tokens"].shape), data.tokenizer.vocab_size, batch["loss_mask"].sum(1).tolist()
        ((4, 64), 66, [10.0, 10.0, 10.0, 10.0])
    """

    def __init__(
        self,
        files: str | Path | Sequence[str | Path] | None,
        tokenizer: Tokenizer | str | Path | None = None,
        *,
        mask_token: str = "[MASK]",
        start_token: str | None = "[CLS]",
        end_token: str | None = "[SEP]",
        mask_probability: float = 0.15,
        split: str | Sequence[float] = (90, 10),
        windows: Literal["random", "strided"] = "random",
        stride: int | None = None,
        sequence_length: int,
        global_batch_size: int,
        eval_global_batch_size: int | None = None,
        epoch_size: int | None = None,
        shuffle: bool = True,
        num_workers: int = 0,
        prefetch: int = 2,
        pin_memory: bool = False,
        seed: int | None = None,
    ) -> None:
        if not 0 < mask_probability < 1:
            raise ConfigError(f"data.mask_probability is {mask_probability}", hint="give a number between 0 and 1")
        self.mask_token, self.mask_probability = mask_token, mask_probability
        super().__init__(
            files,
            tokenizer,
            split=split,
            windows=windows,
            stride=stride,
            sequence_length=sequence_length,
            global_batch_size=global_batch_size,
            eval_global_batch_size=eval_global_batch_size,
            epoch_size=epoch_size,
            shuffle=shuffle,
            num_workers=num_workers,
            prefetch=prefetch,
            pin_memory=pin_memory,
            seed=seed,
        )
        mask = self.tokenizer.token_to_id(mask_token)
        if mask is None:
            raise ConfigError(
                f"data.mask_token: the tokenizer has no token {mask_token!r}",
                hint="give it one (special_tokens=['[MASK]']), or say what it is called",
            )
        special = {mask, *self.tokenizer.special_tokens.values()}
        self.masking = Masking(
            sequence_length,
            mask,
            np.array([each for each in range(self.tokenizer.vocab_size) if each not in special]),
            mask_probability,
            start_id=None if start_token is None else self.tokenizer.token_to_id(start_token),
            end_id=None if end_token is None else self.tokenizer.token_to_id(end_token),
            pad_id=self.tokenizer.pad_id or 0,
        )
        if self.masking.room < 1:
            raise ConfigError(
                f"data.sequence_length is {sequence_length}", hint="give room for some tokens of the text"
            )

    def special_tokens(self) -> Sequence[str]:
        """Return the mask."""
        return (self.mask_token,)

    @property
    def window(self) -> tuple[int, int]:
        """Tokens of a window; no other has any of them."""
        return self.masking.room, 0

    def item_maker(self) -> ItemMaker:
        """Return what masks."""
        return self.masking

    def characters_per_token(self, split: str) -> float | None:
        """Return None: a loss on some tokens says nothing about characters."""
        return None
