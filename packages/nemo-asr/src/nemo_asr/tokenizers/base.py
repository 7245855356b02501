"""What models need of a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Tokenizer"]


class Tokenizer(Protocol):
    """Text to numbers of tokens and back."""

    @property
    def vocabulary(self) -> list[str]:
        """The tokens, in the order of their numbers."""
        ...

    def __len__(self) -> int:
        """Return the number of tokens."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the tokens of ``text``."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``."""
        ...

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return what each of ``ids`` adds to the text: joined, they are ``decode(ids)``."""
        ...
