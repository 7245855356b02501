"""Marks of punctuation stand close to what is before them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["close_up", "find_marks"]

# Tokens that begin a word (▁), are inside one (##), or are no text ([PAD], <unk>) say nothing about how a mark stands.
_NOT_TEXT = re.compile(r"\[.*\]$|<.*>$|##|▁|\s*$")


def find_marks(vocabulary: Iterable[str]) -> frozenset[str]:
    """Return the marks of punctuation that tokens write without a space before them.

    Example:
        >>> sorted(find_marks(["▁(", "a", ",", "'s", "[PAD]", "<unk>"]))
        ["'", ',']
    """
    text = (token for token in vocabulary if not _NOT_TEXT.match(token))
    return frozenset(mark for token in text for mark in token if unicodedata.category(mark).startswith("P"))


def close_up(pieces: Sequence[str], marks: frozenset[str]) -> list[str]:
    """Return the pieces of a text without the space before each of ``marks``, as NVIDIA NeMo writes texts.

    Only one space goes: several are the model's mistake, which is not to be hidden.

    Example:
        >>> close_up(["well", " ", ",", " no"], frozenset(","))
        ['well', '', ',', ' no']
    """
    if not marks:
        return list(pieces)
    following = "".join(pieces)[1:] + " "
    closed, place = [], 0
    for piece in pieces:
        after = following[place : place + len(piece)]
        closed.append("".join(c for c, n in zip(piece, after, strict=True) if not (c.isspace() and n in marks)))
        place += len(piece)
    return closed
