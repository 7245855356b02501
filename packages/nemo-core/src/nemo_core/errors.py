"""The tree of errors that the framework raises.

Every error says what happened and where (file, line, key, port); ``hint`` says what to do about it. The command line
prints the two as two lines and leaves with :attr:`NemoError.exit_code`: 2 where the user can mend the input, 1 where
something failed that the input is not to blame for.

>>> error = ConfigError("trainer.max_epoch is not a key", hint="did you mean trainer.max_epochs?")
>>> print(error)
trainer.max_epoch is not a key
  did you mean trainer.max_epochs?
>>> error.exit_code
2
"""

from __future__ import annotations

__all__ = [
    "ArchiveError",
    "ComponentNotFoundError",
    "ConfigError",
    "DataError",
    "DownloadError",
    "DuplicateComponentError",
    "ExportError",
    "GraphError",
    "NemoError",
    "NeuralTypeError",
    "PluginError",
    "TrainingError",
    "UnsafeArchiveError",
    "UntrustedTargetError",
]


class NemoError(Exception):
    """Base of all errors of the framework.

    Args:
        message: What happened, and where.
        hint: What to do about it; one line or a few.
    """

    exit_code: int = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        if self.hint is None:
            return self.message
        return f"{self.message}\n  {self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default protocol, and errors cross process borders (data workers).
        return (_rebuild, (type(self), self.message, self.hint, self.__dict__))


def _rebuild(cls: type[NemoError], message: str, hint: str | None, state: dict[str, object]) -> NemoError:
    error = cls.__new__(cls)
    NemoError.__init__(error, message, hint=hint)
    error.__dict__.update(state)
    return error


class NeuralTypeError(NemoError, TypeError):
    """Two neural types do not fit: axes, sizes, ranks, element types, or the names of ports."""


class GraphError(NemoError, ValueError):
    """Modules cannot be connected as asked: a cycle, an input with two sources, an ambiguous name, an open input."""


class ConfigError(NemoError, ValueError):
    """A configuration has mistakes; the message lists all of them, a line each."""


class UntrustedTargetError(ConfigError):
    """A configuration names code that is neither a registered component nor on the allow-list."""


class PluginError(NemoError):
    """A plugin could not be found, loaded or used."""


class DuplicateComponentError(PluginError):
    """Two distributions claim one component name."""


class ComponentNotFoundError(PluginError, LookupError):
    """No installed plugin offers a component of that kind and name."""


class DataError(NemoError, ValueError):
    """Input data is damaged or not what it is said to be: a manifest line, an audio file, an image."""


class ArchiveError(NemoError):
    """A model archive is damaged, incomplete or of an unknown format."""


class UnsafeArchiveError(ArchiveError):
    """A model archive holds what could run code or write outside its folder; nothing of it was used."""


class ExportError(NemoError):
    """A model does something that the format it shall be written in has no words for."""


class DownloadError(NemoError):
    """A file could not be fetched, or what came is not what the catalogue promises."""

    exit_code = 1


class TrainingError(NemoError):
    """Training cannot start or go on."""

    exit_code = 1
