"""Texts of which spans are missing, for models that write them (Raffel et al., 2020, arXiv:1910.10683)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from nemo_core.errors import ConfigError
from nemo_llm.data.text import ItemMaker, TextData

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["SpanCorruption", "SpanCorruptionData", "restore"]


@dataclass(frozen=True)
class SpanCorruption:
    """Makes an item of tokens: spans of them give way to a sentinel each, and are what the decoder writes.

    Lengths depend on the number of tokens alone: so many are noise, in so many spans.

    Attributes:
        sequence_length: S, tokens of the encoder.
        sentinels: The first span's, the second's, ...
        density: Part of the tokens that is missing.
        mean_span: Tokens of a span, on average.
        start_id: Token that the decoder starts with.
        end_id: Token behind both texts.
        pad_id: What fills up.
        round_to: The decoder's tokens are filled up to a multiple of it.

    Example:
        >>> make = SpanCorruption(12, (90, 91, 92), density=0.3, mean_span=2.0, start_id=98, end_id=99, round_to=1)
        >>> item = make(np.arange(make.room), np.random.default_rng(3))
        >>> item["tokens"].tolist()
        [0, 1, 2, 3, 4, 5, 6, 90, 8, 9, 91, 99]
        >>> item["decoder_tokens"].tolist(), item["labels"].tolist()
        ([98, 90, 7, 91, 10, 11, 12], [90, 7, 91, 10, 11, 12, 99])
    """

    sequence_length: int
    sentinels: tuple[int, ...]
    density: float = 0.15
    mean_span: float = 3.0
    start_id: int = 0
    end_id: int = 1
    pad_id: int = 0
    round_to: int = 8

    def counts(self, length: int) -> tuple[int, int]:
        """Return how many of so many tokens are missing, and in how many spans."""
        noise = min(max(round(length * self.density), 1), length - 1)
        spans = min(max(round(noise / self.mean_span), 1), noise, length - noise)
        return noise, spans

    def lengths(self, length: int) -> tuple[int, int]:
        """Return the tokens of encoder and decoder that so many tokens make."""
        noise, spans = self.counts(length)
        return length - noise + spans + 1, noise + spans + 1

    @cached_property
    def room(self) -> int:
        """Tokens of the text in an item: as many as the encoder has room for."""
        found = 1
        while self.lengths(found + 1)[0] <= self.sequence_length:
            found += 1
        return found

    @cached_property
    def target_length(self) -> int:
        """T, tokens of the decoder."""
        return -(-self.lengths(self.room)[1] // self.round_to) * self.round_to

    def __call__(self, text: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return tokens and segment_ids ``(S,)``; decoder_tokens, labels and loss_mask ``(T,)``."""
        source: list[int] = []
        target: list[int] = []
        if len(text) > 1:
            noise, spans = self.counts(len(text))
            place = 0
            kept = _pieces(len(text) - noise, spans, rng)
            lost = _pieces(noise, spans, rng)
            for sentinel, before, missing in zip(self.sentinels[:spans], kept, lost, strict=True):
                source += [*text[place : place + before], sentinel]
                target += [sentinel, *text[place + before : place + before + missing]]
                place += before + missing
        else:
            source, target = [self.sentinels[0]], [self.sentinels[0], *text]
        source.append(self.end_id)
        target.append(self.end_id)
        item: dict[str, np.ndarray] = {
            "tokens": np.full(self.sequence_length, self.pad_id, np.int64),
            "segment_ids": np.zeros(self.sequence_length, np.int32),
            "decoder_tokens": np.full(self.target_length, self.pad_id, np.int64),
            "labels": np.full(self.target_length, self.pad_id, np.int64),
            "loss_mask": np.zeros(self.target_length, np.float32),
        }
        item["tokens"][: len(source)], item["segment_ids"][: len(source)] = source, 1
        item["labels"][: len(target)], item["loss_mask"][: len(target)] = target, 1
        item["decoder_tokens"][: len(target)] = [self.start_id, *target[:-1]]
        return item


def _pieces(total: int, count: int, rng: np.random.Generator) -> list[int]:
    """Return ``count`` lengths from 1 on that add up to ``total``, each division as likely as any other."""
    cuts = np.sort(rng.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(np.concatenate([[0], cuts, [total]])).tolist()


def restore(source: Sequence[int], target: Sequence[int], sentinels: Sequence[int], end_id: int) -> list[int]:
    """Put spans back: return the text of what the encoder read and what the decoder wrote.

    >>> restore([5, 90, 6, 99], [90, 1, 2, 99], [90, 91], 99)
    [5, 1, 2, 6]
    """
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for token in itertools.takewhile(lambda each: each != end_id, target):
        if token in sentinels:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    parts = ([token] if token not in sentinels else spans.get(token, []) for token in source if token != end_id)
    return list(itertools.chain.from_iterable(parts))


class SpanCorruptionData(TextData):
    """Windows of a text, other spans of which are missing in each epoch; in validation always the same.

    Args:
        files: Text files (UTF-8), read one behind the other; ``tiny_shakespeare`` is the text that comes with the
            package.
        tokenizer: The tokenizer, or the folder or file where one is; by default the characters of the text, with
            padding, end and sentinels behind them.
        sentinel: How sentinels are called, with ``{}`` for their number.
        noise_density: Part of the tokens that is missing.
        mean_span: Tokens of a span, on average.
        split: Parts of the text, in characters, for training, validation and, if there is a third, test.
        windows: ``random``: each training window starts anywhere, at another place in each epoch; ``strided``: they
            start ``stride`` tokens from each other.
        stride: Tokens between the starts of strided windows; ``sequence_length`` if not given.
        sequence_length: S, tokens of the encoder.
        global_batch_size: Windows in a training step, over all data-parallel replicas.
        eval_global_batch_size: The same for validation; ``global_batch_size`` if not given.
        epoch_size: Random windows that are called an epoch.
        shuffle: Whether strided windows come in another order in each epoch.
        num_workers: Processes that load data.
        prefetch: Batches that each of them loads ahead.
        pin_memory: Page-locked memory, for faster copies to a GPU.
        seed: What places, orders and spans depend on; that of the run if not given.

    Raises:
        ConfigError: The tokenizer lacks padding, an end or enough sentinels.
        DataError: A file is not there or no UTF-8, or a part of the text is too short.

    Example:
        >>> data = SpanCorruptionData("tiny_shakespeare", sequence_length=64, global_batch_size=4)
        >>> batch = next(iter(data.train_dataloader()))
        >>> tuple(batch["tokens"].shape), tuple(batch["labels"].shape), data.tokenizer.vocab_size
        ((4, 64), (4, 16), 83)
    """

    def __init__(
        self,
        files: str | Path | Sequence[str | Path] | None,
        tokenizer: Tokenizer | str | Path | None = None,
        *,
        sentinel: str = "<extra_id_{}>",
        noise_density: float = 0.15,
        mean_span: float = 3.0,
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
        if not 0 < noise_density < 1 or mean_span < 1 or sequence_length < 4:
            raise ConfigError(
                f"data: noise_density {noise_density}, mean_span {mean_span} and sequence_length {sequence_length} "
                "leave nothing to write",
                hint="noise_density is between 0 and 1, mean_span at least 1, sequence_length at least 4",
            )
        self.sentinel = sentinel
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
        self.corruption = self._corruption(noise_density, mean_span)

    def _corruption(self, density: float, mean_span: float) -> SpanCorruption:
        tokenizer = self.tokenizer
        names = map(self.sentinel.format, itertools.count())
        sentinels = tuple(itertools.takewhile(lambda each: each is not None, map(tokenizer.token_to_id, names)))
        pad = tokenizer.pad_id if tokenizer.pad_id is not None else tokenizer.token_to_id(_PAD)
        end = tokenizer.eos_id if tokenizer.eos_id is not None else tokenizer.token_to_id(_END)
        for what, value in ((f"padding ({_PAD})", pad), (f"an end ({_END})", end)):
            if value is None:
                raise ConfigError(f"data.tokenizer has no token for {what}", hint="give it one: special_tokens=[...]")
        assert pad is not None
        assert end is not None
        found = SpanCorruption(self.sequence_length, sentinels, density, mean_span, pad, end, pad)  # type: ignore[arg-type]
        wanted = found.counts(found.room)[1]
        if len(sentinels) < wanted:
            raise ConfigError(
                f"data.sentinel: the tokenizer has {len(sentinels)} tokens {self.sentinel.format('N')}, and a window "
                f"of {self.sequence_length} needs {wanted}",
                hint="give it more of them (special_tokens=[...]), or raise data.mean_span",
            )
        return found

    def special_tokens(self) -> Sequence[str]:
        """Return padding, end and sixteen sentinels, or as many as a long window needs."""
        count = max(16, self.sequence_length // 8)
        return (_PAD, _END, *(self.sentinel.format(number) for number in range(count)))

    @property
    def window(self) -> tuple[int, int]:
        """Tokens of a window; no other has any of them."""
        return self.corruption.room, 0

    def item_maker(self) -> ItemMaker:
        """Return what takes spans out."""
        return self.corruption

    def characters_per_token(self, split: str) -> float | None:
        """Return None: a loss on some tokens says nothing about characters."""
        return None


_PAD, _END = "<pad>", "</s>"
