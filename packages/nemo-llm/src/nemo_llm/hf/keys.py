"""The words in which a ``config.json`` and a :class:`~nemo_llm.models.config.ModelConfig` are translated to each other.

An architecture (:mod:`nemo_llm.hf.architectures`) is a list of these. Each reads its part of the file and says it in
our names (``experts.count`` for a value inside a part), and writes ours back in the file's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_llm.models.config import ModelConfig

__all__ = [
    "Activation",
    "ConfigFile",
    "Demand",
    "Dropout",
    "FeedForward",
    "Fixed",
    "Key",
    "Translator",
    "activation_named",
    "ours",
]

REQUIRED: Any = object()
Found = dict[str, Any]

_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "float": ("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool)),
    "bool": ("true or false", lambda value: isinstance(value, bool)),
    "str": ("a text", lambda value: isinstance(value, str)),
    "list": ("a list", lambda value: isinstance(value, list)),
    "dict": ("a group of keys", lambda value: isinstance(value, dict)),
    "any": ("anything", lambda value: True),
}


class ConfigFile:
    """The values of a ``config.json``, taken key by key; remembers which were never asked for.

    Args:
        values: What stands in it.
        where: Its path, for errors.

    Example:
        >>> file = ConfigFile({"hidden_size": 64, "use_cache": True}, "config.json")
        >>> file.take("hidden_size", kind="int"), file.untaken()
        (64, ['use_cache'])
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = dict(values), where
        self._taken: set[str] = set()

    def take(self, *names: str, kind: str = "any", default: Any = REQUIRED) -> Any:
        """Return the first of the keys that is there; ``default`` where none is, or where it is null.

        Raises:
            ConfigError: It is not there and has no default, or is of another kind.
        """
        self._taken.update(names)
        for name in names:
            value = self.values.get(name)
            if value is None:
                continue
            what, fits = _KINDS[kind]
            if not fits(value):
                raise self.error(name, f"is {value!r}, and has to be {what}")
            return float(value) if kind == "float" else value
        if default is REQUIRED:
            raise ConfigError(
                f"{self.where} has no {names[0]}",
                hint="is it the whole config.json of a model, as it was published?",
            )
        return default

    def has(self, name: str) -> bool:
        """Whether the key is there, null or not."""
        self._taken.add(name)
        return name in self.values

    def untaken(self) -> list[str]:
        """Return the keys that nothing has asked for."""
        return sorted(set(self.values) - self._taken)

    def error(self, key: str, problem: str, hint: str | None = None) -> ConfigError:
        """Return an error about a key."""
        return ConfigError(f"{self.where}: {key} {problem}", hint=hint)


def ours(config: ModelConfig, name: str) -> Any:
    """Return a value of a configuration; ``experts.count`` is one inside a part.

    Raises:
        ConfigError: The model has no such part.
    """
    value: Any = config
    for part in name.split("."):
        if value is None:
            raise ConfigError(
                f"a model of the family {config.family} has {name}, and this one has no {name.split('.')[0]}",
                hint="choose another family for it",
            )
        value = getattr(value, part)
    return value


class Translator:
    """One part of a configuration in both languages."""

    def read(self, file: ConfigFile, found: Found) -> None:
        """Add to ``found``, under our names, what the file says."""
        raise NotImplementedError

    def write(self, config: ModelConfig, out: Found) -> None:
        """Add to ``out``, under the file's names, what the configuration says."""
        raise NotImplementedError


@dataclass(frozen=True)
class Key(Translator):
    """A value that only has another name.

    Attributes:
        theirs: Name in the file; further spellings are read, and written too where ``both`` says so.
        ours: Name in :class:`~nemo_llm.models.config.ModelConfig`.
        kind: What it has to be.
        default: What ``transformers`` takes where the file does not say; without one the file has to say it.
        value: What is written, where that is not the plain value.
        both: Write all spellings.
        null: Whether null is a value of its own, and not the same as leaving the key out.
    """

    theirs: str | tuple[str, ...]
    ours: str
    kind: str = "int"
    default: Any = REQUIRED
    value: Callable[[ModelConfig], Any] | None = None
    both: bool = False
    null: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All spellings."""
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs

    def read(self, file: ConfigFile, found: Found) -> None:  # noqa: D102
        default = None if self.null and any(map(file.has, self.names)) else self.default
        found[self.ours] = file.take(*self.names, kind=self.kind, default=default)

    def write(self, config: ModelConfig, out: Found) -> None:  # noqa: D102
        value = ours(config, self.ours) if self.value is None else self.value(config)
        for name in self.names if self.both else self.names[:1]:
            out[name] = value


@dataclass(frozen=True)
class Fixed(Translator):
    """What every model of the architecture has and its file does not mention."""

    values: Mapping[str, Any]

    def read(self, file: ConfigFile, found: Found) -> None:  # noqa: D102
        found.update(self.values)

    def write(self, config: ModelConfig, out: Found) -> None:
        """Write nothing: whether the model has all of it is seen when the file is read back."""


@dataclass(frozen=True)
class Demand(Translator):
    """A key that would change the arithmetic: only the values that we compute are let through.

    Attributes:
        theirs: Name in the file.
        allowed: What it may be; the first is written. A file without it, or with null, passes.
        silent: Do not write it.
    """

    theirs: str
    allowed: tuple[Any, ...]
    silent: bool = False

    def read(self, file: ConfigFile, found: Found) -> None:  # noqa: D102
        value = file.take(self.theirs, default=self.allowed[0])
        if value not in self.allowed:
            raise file.error(
                self.theirs,
                f"is {value!r}, which nemo-llm does not compute",
                f"it computes {' or '.join(repr(each) for each in self.allowed)}",
            )

    def write(self, config: ModelConfig, out: Found) -> None:  # noqa: D102
        if not self.silent:
            out[self.theirs] = self.allowed[0]


#: The activations of ``transformers`` that we have, and what they are called here.
_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "relu": "relu",
}


def activation_named(file: ConfigFile, key: str, name: str, legacy: Mapping[str, str] | None = None) -> str:
    """Return what we call an activation.

    Raises:
        ConfigError: It is none of ours.
    """
    known = {**_ACTIVATIONS, **(legacy or {})}
    if name not in known:
        raise file.error(
            key, f"is {name!r}, an activation that nemo-llm does not have", f"it has {', '.join(sorted(known))}"
        )
    return known[name]


@dataclass(frozen=True)
class Activation(Translator):
    """The activation of the feed-forward part.

    Attributes:
        theirs: Names of the key; the first is written.
        default: Where the file does not say.
        tanh: How the approximation of GELU is spelled.
        legacy: Spellings that this architecture means otherwise (the first Gemma files say ``gelu``).
    """

    theirs: tuple[str, ...] = ("hidden_act",)
    default: str = "silu"
    tanh: str = "gelu_pytorch_tanh"
    legacy: Mapping[str, str] | None = None

    def read(self, file: ConfigFile, found: Found) -> None:  # noqa: D102
        value = file.take(*self.theirs, kind="str", default=self.default)
        name = next((name for name in self.theirs if file.values.get(name) is not None), self.theirs[0])
        found["activation"] = activation_named(file, name, value, self.legacy)

    def write(self, config: ModelConfig, out: Found) -> None:  # noqa: D102
        for name in self.theirs:
            out[name] = self.tanh if config.activation == "gelu_tanh" else config.activation


@dataclass(frozen=True)
class FeedForward(Translator):
    """The inner size of the feed-forward part; GPT-2 leaves it out where it is four times the model's."""

    theirs: str = "n_inner"

    def read(self, file: ConfigFile, found: Found) -> None:  # noqa: D102
        found["ffn_size"] = file.take(self.theirs, kind="int", default=4 * found["hidden_size"])

    def write(self, config: ModelConfig, out: Found) -> None:  # noqa: D102
        out[self.theirs] = config.ffn_size


@dataclass(frozen=True)
class Dropout(Translator):
    """Dropout, which there may be several kinds of; ours is one number, and matters in training only.

    Where the kinds differ, or the architecture has only a part of ours, none is taken over.
    """

    theirs: tuple[str, ...]
    whole: bool = False
    default: float = 0.0

    def read(self, file: ConfigFile, found: Found) -> None:  # noqa: D102
        values = {file.take(name, kind="float", default=self.default) for name in self.theirs}
        found["dropout"] = values.pop() if self.whole and len(values) == 1 else 0.0

    def write(self, config: ModelConfig, out: Found) -> None:  # noqa: D102
        for name in self.theirs:
            out[name] = config.dropout if self.whole else 0.0
