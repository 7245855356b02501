"""The data module for a text that fits in memory: windows of it, at random places or side by side."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nemo_core.errors import ConfigError, DataError
from nemo_llm.data.module import LanguageDataModule
from nemo_llm.data.pretraining import shares_of
from nemo_llm.data.sequences import training_item

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["TextData", "tiny_shakespeare"]

ItemMaker = Callable[[np.ndarray, np.random.Generator], dict[str, np.ndarray]]

TINY_SHAKESPEARE = "tiny_shakespeare"
_SPLITS = ("train", "validation", "test")


def tiny_shakespeare() -> Path:
    """Return where the text is that comes with the package: 1.1 MB of Shakespeare, 65 different characters.

    >>> len(tiny_shakespeare().read_text(encoding="utf-8"))
    1115394
    """
    return Path(str(importlib.resources.files("nemo_llm") / "datasets" / TINY_SHAKESPEARE / "input.txt"))


class TextData(LanguageDataModule):
    """Training and validation windows of a text, which is divided where it stands: the start to train, the end not to.

    Validation and test use every token once, in windows side by side.

    Args:
        files: Text files (UTF-8), read one behind the other; ``tiny_shakespeare`` is the text that comes with the
            package.
        tokenizer: The tokenizer, or the folder or file where one is; by default the characters of the text.
        split: Parts of the text, in characters, for training, validation and, if there is a third, test.
        windows: ``random``: each training window starts anywhere, at another place in each epoch; ``strided``: they
            start ``stride`` tokens from each other.
        stride: Tokens between the starts of strided windows; ``sequence_length`` if not given.
        sequence_length: S, tokens in a window.
        global_batch_size: Windows in a training step, over all data-parallel replicas.
        eval_global_batch_size: The same for validation; ``global_batch_size`` if not given.
        epoch_size: Random windows that are called an epoch; by default as many as the text is long, in whole steps.
        shuffle: Whether strided windows come in another order in each epoch.
        num_workers: Processes that load data.
        prefetch: Batches that each of them loads ahead.
        pin_memory: Page-locked memory, for faster copies to a GPU.
        seed: What places and orders depend on; that of the run if not given.

    Raises:
        DataError: A file is not there or no UTF-8, or a part of the text is too short.

    Example:
        >>> data = TextData("tiny_shakespeare", sequence_length=32, global_batch_size=4)
        >>> batch = next(iter(data.train_dataloader()))
        >>> tuple(batch["tokens"].shape), data.tokenizer.vocab_size, data.characters_per_token("validation")
        ((4, 32), 65, 1.0)
    """

    def __init__(
        self,
        files: str | Path | Sequence[str | Path] | None,
        tokenizer: Tokenizer | str | Path | None = None,
        *,
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
        super().__init__(
            sequence_length=sequence_length,
            global_batch_size=global_batch_size,
            eval_global_batch_size=eval_global_batch_size,
            shuffle=shuffle and windows == "strided",
            num_workers=num_workers,
            prefetch=prefetch,
            pin_memory=pin_memory,
            seed=seed,
        )
        if files is None:
            raise ConfigError("data.files is not given", hint="data.files=FILE, or tiny_shakespeare")
        if windows not in ("random", "strided"):
            raise ConfigError(f"data.windows is {windows!r}, not 'random' or 'strided'")
        for name, value in (("stride", stride), ("epoch_size", epoch_size)):
            if value is not None and value < 1:
                raise ConfigError(f"data.{name} is {value}", hint="give at least 1")
        self.windows, self.stride, self.epoch_size = windows, stride or sequence_length, epoch_size
        self.files = [_path(name) for name in ([files] if isinstance(files, str | Path) else files)]
        text = "".join(map(_read, self.files))
        bounds = np.rint(np.cumsum([0.0, *shares_of(split)]) * len(text)).astype(int).tolist()
        self._texts = {name: text[bounds[n] : bounds[n + 1]] for n, name in enumerate(_SPLITS)}
        self.tokenizer = _tokenizer(tokenizer, text, self.special_tokens())

    def special_tokens(self) -> Sequence[str]:
        """Return the special tokens that the text's own characters need beside them, where no tokenizer is given."""
        return ()

    @property
    def window(self) -> tuple[int, int]:
        """Tokens of a window, and how many of them the next one has too."""
        return self.sequence_length + 1, 1

    def item_maker(self) -> ItemMaker:
        """Return what makes an item of the tokens of a window (fewer than it has at the end of a text).

        It gets random numbers that depend on seed, epoch and index, and is sent to the processes that load data.
        """
        return _Following(self.sequence_length)

    def dataset(self, split: str) -> Any:
        """Return the windows of ``split``, or None."""
        if not self._texts.get(split):
            return None
        tokens = self._tokens[split]
        training = split == "train"
        length, overlap = self.window
        shortest = length if training else overlap + 1
        if len(tokens) < shortest:
            raise DataError(
                f"{', '.join(map(str, self.files[:3]))}: the {split} part has {len(tokens)} tokens, and a window needs "
                f"{shortest}",
                hint="lower data.sequence_length, or give it a larger part of data.split",
            )
        if training and self.windows == "random":
            size = self.epoch_size or len(tokens) // self.sequence_length
            return _RandomWindows(tokens, self, -(-size // self.global_batch_size) * self.global_batch_size)
        stride = self.stride if training else length - overlap
        return _StridedWindows(tokens, self, stride, keep_tail=not training)

    def characters_per_token(self, split: str) -> float | None:
        """Return how many characters a token of ``split`` stands for, on average; None if there is no such split.

        A loss per token divided by it is a loss per character, which can be compared between tokenizers.
        """
        text = self._texts.get(split)
        return len(text) / len(self._tokens[split]) if text else None

    @cached_property
    def _tokens(self) -> dict[str, np.ndarray]:
        """Tokens of each part of the text (T,)."""
        parts = self.tokenizer.encode_batch(list(self._texts.values()))
        return {name: np.array(part, np.int32) for name, part in zip(self._texts, parts, strict=True)}


@dataclass(frozen=True)
class _Following:
    """Makes items whose labels are the tokens that follow."""

    sequence_length: int

    def __call__(self, tokens: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return training_item(tokens, self.sequence_length)


class _RandomWindows:
    """Windows at places that are drawn for each epoch and index."""

    def __init__(self, tokens: np.ndarray, data: TextData, size: int) -> None:
        self.tokens, self.make, self.size = tokens, data.item_maker(), size
        self.length, _ = data.window

    def __len__(self) -> int:
        return self.size

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        start = int(rng.integers(len(self.tokens) - self.length + 1))
        return self.make(self.tokens[start : start + self.length], rng)


class _StridedWindows:
    """Windows at equal distances; with ``keep_tail`` the last one may be shorter, so that no token is left out."""

    def __init__(self, tokens: np.ndarray, data: TextData, stride: int, *, keep_tail: bool) -> None:
        self.tokens, self.make, self.stride = tokens, data.item_maker(), stride
        self.length, overlap = data.window
        new = len(tokens) - overlap
        self.size = -(-new // stride) if keep_tail else (len(tokens) - self.length) // stride + 1

    def __len__(self) -> int:
        return self.size

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        start = range(self.size)[index] * self.stride
        return self.make(self.tokens[start : start + self.length], rng)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return self.sample(index, np.random.default_rng((0, index)))  # evaluation is the same in every epoch


def _path(name: str | Path) -> Path:
    path = Path(name).expanduser()
    return tiny_shakespeare() if str(name) == TINY_SHAKESPEARE and not path.exists() else path


def _read(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", hint="data.files names text files") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte 0x{error.object[error.start]:02x} at {error.start} is no UTF-8",
            hint="convert the file to UTF-8, with iconv for example",
        ) from None
    if not text:
        raise DataError(f"{path} is empty")
    return text.removeprefix("\ufeff")


def _tokenizer(given: Tokenizer | str | Path | None, text: str, special: Sequence[str]) -> Tokenizer:
    from nemo_llm.tokenizers import CharacterTokenizer, load_tokenizer

    if given is None:
        return CharacterTokenizer.learn(text, special_tokens=tuple(special))
    return load_tokenizer(given) if isinstance(given, str | Path) else given
