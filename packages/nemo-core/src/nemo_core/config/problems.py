"""Mistakes in a configuration: collected, not raised at the first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["Problem", "join", "raise_problems", "suggest"]


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes:
        path: Where in the configuration, as an override would write it: ``model.encoder.n_layers``.
        message: What is wrong.
        hint: What to do about it.
        where: File and line, or ``command line``, where that is known.
    """

    path: str
    message: str
    hint: str | None = None
    where: str | None = None

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        if self.where:
            text = f"{self.where}: {text}"
        return f"{text}; {self.hint}" if self.hint else text


def raise_problems(problems: Iterable[Problem], what: str, error: type[ConfigError] = ConfigError) -> None:
    """Raise one error that lists all problems, a line each, if there are any.

    >>> raise_problems([Problem("trainer.max_epoch", "no such key", "did you mean max_epochs?")], "asr/tiny")
    Traceback (most recent call last):
    nemo_core.errors.ConfigError: asr/tiny has 1 mistake:
      trainer.max_epoch: no such key; did you mean max_epochs?
    """
    lines = list(dict.fromkeys(str(problem) for problem in problems))
    if lines:
        count = "1 mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
        raise error("\n  ".join([f"{what} has {count}:", *lines]))


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest known words, or, where nothing is near, a list of what there is."""
    known = sorted(known)
    question = did_you_mean(word, known)
    if question:
        return question
    if not known:
        return "it takes none"
    shown = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
    return f"known: {shown}"


def join(path: str, key: object) -> str:
    """Append a key, or an index of a list, to a path.

    >>> join("model", "encoder"), join("model.blocks", 2), join("", "model")
    ('model.encoder', 'model.blocks[2]', 'model')
    """
    if isinstance(key, int) and not isinstance(key, bool):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)
