"""Characters as tokens."""

from __future__ import annotations

from collections.abc import Sequence

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError

__all__ = ["CharTokenizer"]


class CharTokenizer(Configured):
    """Turns text into numbers of characters and back.

    Args:
        labels: The characters, in the order of their numbers; a string or a list of strings of one character each.
        lowercase: Whether text is lowercased first.
        unknown: What to do with a character that is not a label: ``error``, or ``skip`` it.

    Example:
        >>> tokenizer = CharTokenizer(" abc")
        >>> tokenizer.encode("a cab"), tokenizer.decode([3, 1, 2])
        ([1, 0, 3, 1, 2], 'cab')
    """

    def __init__(self, labels: str | Sequence[str], lowercase: bool = False, unknown: str = "error") -> None:
        self.labels = list(labels)
        self.lowercase = lowercase
        self.unknown = unknown
        if not self.labels:
            raise ConfigError("tokenizer: there are no labels")
        wrong = [label for label in self.labels if not isinstance(label, str) or len(label) != 1]
        if wrong:
            raise ConfigError(f"tokenizer: {wrong[0]!r} is not one character")
        self._ids = {label: index for index, label in enumerate(self.labels)}
        if len(self._ids) != len(self.labels):
            twice = next(label for label in self.labels if self.labels.count(label) > 1)
            raise ConfigError(f"tokenizer: {twice!r} is among the labels twice")
        if unknown not in ("error", "skip"):
            raise ConfigError(f"tokenizer: unknown is {unknown!r}, not 'error' or 'skip'")

    @property
    def vocabulary(self) -> list[str]:
        """The tokens, in the order of their numbers."""
        return list(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the characters of ``text``.

        Raises:
            DataError: A character is not a label.
        """
        if self.lowercase:
            text = text.lower()
        if self.unknown == "skip":
            return [self._ids[character] for character in text if character in self._ids]
        try:
            return [self._ids[character] for character in text]
        except KeyError as error:
            raise DataError(
                f"{error.args[0]!r} in {text!r} is not in the tokenizer's alphabet",
                hint="add it to tokenizer.labels, or set tokenizer.unknown=skip",
            ) from None

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ``ids``."""
        return "".join(self.labels[index] for index in ids)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the character of each of ``ids``."""
        return [self.labels[index] for index in ids]
