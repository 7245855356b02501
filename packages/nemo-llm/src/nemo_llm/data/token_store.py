"""Sequences of tokens of unequal lengths with their loss masks, in files that are mapped into memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nemo_core.errors import DataError

__all__ = ["TokenStore", "write_store"]

VERSION = 1
_TOKENS, _MASKS, _INFO = "tokens.bin", "masks.bin", "info.json"
_STARTS, _PLACES, _LEARNED = "starts.npy", "places.npy", "learned.npy"

Sequenced = tuple[Sequence[int], Sequence[int], tuple[int, int]]
"""Tokens, mask, and number of the file and of the record in it."""


class TokenStore:
    """What :func:`write_store` wrote.

    Args:
        folder: Where it is.

    Attributes:
        lengths: (N,) tokens of each sequence.
        learned: (N,) how many of them are to be learned; the first never is, since nothing comes before it.

    Raises:
        DataError: It is not whole.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_store(folder, [([5, 6, 7], [0, 1, 1], (0, 1)), ([8, 9], [0, 1], (0, 2))], ["train.jsonl"], ["line"])
        >>> store = TokenStore(folder)
        >>> len(store), store.lengths.tolist(), [part.tolist() for part in store[0]], store.where(1)
        (2, [3, 2], [[5, 6, 7], [0, 1, 1]], 'train.jsonl, line 2')
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.info: dict[str, Any] = json.loads((folder / _INFO).read_text(encoding="utf-8"))
            self._starts = np.load(folder / _STARTS, allow_pickle=False)
            self.places: np.ndarray = np.load(folder / _PLACES, allow_pickle=False)
            self.learned: np.ndarray = np.load(folder / _LEARNED, allow_pickle=False)
            total = int(self._starts[-1])
            self._tokens = _mapped(folder / _TOKENS, np.int32, total)
            self._masks = _mapped(folder / _MASKS, np.uint8, total)
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise DataError(f"{folder} is not whole: {error}", hint="remove it; it is made again") from None
        self.lengths: np.ndarray = np.diff(self._starts)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return tokens (n,) int32 and mask (n,) uint8 of a sequence."""
        index = range(len(self))[index]
        start, end = self._starts[index], self._starts[index + 1]
        return self._tokens[start:end], self._masks[start:end]

    def where(self, index: int) -> str:
        """Return the file and the record that a sequence comes from."""
        file, number = self.places[index]
        return f"{self.info['files'][file]}, {self.info['units'][file]} {number}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder,)  # workers map the files themselves


def write_store(folder: Path, sequences: Iterable[Sequenced], files: Sequence[str], units: Sequence[str]) -> None:
    """Write sequences to a folder.

    Args:
        folder: An empty folder.
        sequences: Tokens (n,), mask (n,), and the numbers of file and record that they come from.
        files: Names of the files.
        units: What the records of each are called: ``line``, ``row``, ``item``. Looked at in the end, so that who reads
            the files may say it then.
    """
    lengths: list[int] = []
    learned: list[int] = []
    places: list[tuple[int, int]] = []
    with (folder / _TOKENS).open("wb") as tokens, (folder / _MASKS).open("wb") as masks:
        for ids, mask, place in sequences:
            np.asarray(ids, np.int32).tofile(tokens)
            np.asarray(mask, np.uint8).tofile(masks)
            lengths.append(len(ids))
            learned.append(sum(mask[1:]))
            places.append(place)
    np.save(folder / _STARTS, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64))
    np.save(folder / _LEARNED, np.asarray(learned, np.int64))
    np.save(folder / _PLACES, np.asarray(places, np.int64).reshape(-1, 2))
    content = {"version": VERSION, "files": list(files), "units": list(units)}
    (folder / _INFO).write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")


def _mapped(path: Path, kind: Any, count: int) -> np.ndarray:
    if path.stat().st_size != count * np.dtype(kind).itemsize:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes")
    return np.memmap(path, kind, "r") if count else np.zeros(0, kind)


def chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield ``items`` in lists of ``size``.

    >>> list(chunks("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    chunk: list[Any] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
