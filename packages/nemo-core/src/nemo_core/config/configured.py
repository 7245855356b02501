"""Objects that remember how they were made, so that they can be written into a configuration and made again.

A class that derives from :class:`Configured` needs no code for it: the metaclass notes the arguments of the
construction, and :meth:`Configured.to_config` turns them into the node that :func:`nemo_core.config.instantiate`
builds an equal object from.

>>> class Window(Configured):
...     def __init__(self, size, kind="hann"):
...         self.size, self.kind = size, kind
>>> class Features(Configured):
...     def __init__(self, window, rate=16000, *, bands=(20, 7600)):
...         self.window, self.rate, self.bands = window, rate, bands
>>> config = Features(Window(0.025), bands=[0, 4000]).to_config()
>>> config["bands"], config["window"]["size"]
([0, 4000], 0.025)
>>> "rate" in config  # what was not given is not written: defaults stay where they are defined
False
"""

from __future__ import annotations

import abc
import enum
import inspect
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_core.plugins import Registry

__all__ = ["Configured", "ConfiguredMeta", "KeepArtifact", "import_path", "target_of"]

_RECORD = "_construction"
_T = TypeVar("_T")
KeepArtifact: TypeAlias = "Callable[[Configured, str, bytes | Path], str]"


class ConfiguredMeta(abc.ABCMeta):
    """Metaclass that notes the arguments each instance is constructed with.

    Only ``Class(...)`` passes through here; ``super().__init__(...)`` does not. So what is noted is always the
    outermost construction, whatever a chain of base classes hands on.
    """

    # Neither ``super()`` nor ``__class__`` may appear in this method: Lightning's ``save_hyperparameters`` walks
    # the frames above ``__init__`` and takes any frame that has a ``__class__`` cell for a constructor.
    def __call__(cls: type[_T], *args: Any, **kwargs: Any) -> _T:
        """Construct an instance and note ``args`` and ``kwargs`` on it, before ``__init__`` can change them."""
        instance = cls.__new__(cls, *args, **kwargs)
        if isinstance(instance, cls):
            # Past any __setattr__: the record must not register sub-modules, and must pass frozen dataclasses.
            record = (tuple(map(_snapshot, args)), {name: _snapshot(value) for name, value in kwargs.items()})
            object.__setattr__(instance, _RECORD, record)
            instance.__init__(*args, **kwargs)  # type: ignore[misc]
        return instance

    @property
    def __signature__(cls) -> inspect.Signature:
        """The constructor's own signature, which ``inspect`` would otherwise take from :meth:`__call__`."""
        constructor = cls.__init__ if cls.__init__ is not object.__init__ else cls.__new__  # type: ignore[misc]
        if constructor is object.__new__:
            return inspect.Signature()
        signature = inspect.signature(constructor)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class Configured(metaclass=ConfiguredMeta):
    """Base of everything that can be written into a configuration: modules, models, tokenizers, datasets.

    Arguments may be plain values, paths, lists and dicts of those, and other :class:`Configured` objects. The record
    survives pickling and ``copy.deepcopy``.
    """

    __slots__ = ()

    def to_config(self, *, registry: Registry | None = None, keep: KeepArtifact | None = None) -> dict[str, Any]:
        """Return the node that builds an equal object: ``_target_`` and the arguments that were given.

        Positional arguments are written by name. Where an argument was a :class:`Configured` object and the attribute
        of the same name now holds another one (a decoder that was exchanged for fine-tuning), the present one is
        written, so that the node describes the object as it is.

        Args:
            registry: Where the name of a class is looked up; the process's registry if not given.
            keep: Takes each of the :meth:`artifacts` of this object and of those it holds, as ``keep(object, argument,
                content)``, and returns what the node shall say in that argument's place. An archive puts the content
                aside and answers with a reference to it.

        Raises:
            ConfigError: An argument cannot be written, or the object was not made by calling its class.
        """
        cls = type(self)
        record = vars(self).get(_RECORD)
        if record is None:
            raise ConfigError(
                f"{cls.__qualname__} does not know how it was made, so it cannot be written into a configuration",
                hint=f"make it by calling the class, {cls.__qualname__}(...), not through __new__",
            )
        arguments = {name: _current(self, name, value) for name, value in _bind(cls, *record).items()}
        where = cls.__qualname__
        config: dict[str, Any] = {"_target_": target_of(cls, registry)}
        artifacts = self.artifacts() if keep is not None else {}
        for name, value in arguments.items():
            if name not in artifacts:
                config[name] = _plain(value, f"{where}.{name}", registry, keep)
        if keep is not None:
            config.update({name: keep(self, name, content) for name, content in artifacts.items()})
        return config

    def artifacts(self) -> Mapping[str, bytes | Path]:
        """Return the content of each argument that names a file, by argument name, for an archive to keep.

        Objects that read a file while they are constructed (a tokenizer's model) override this; most have none.
        """
        return {}


def import_path(cls: type) -> str:
    """Return ``package.module.Class``, the name a class can be imported by.

    >>> import_path(Configured)
    'nemo_core.config.configured.Configured'
    """
    return f"{cls.__module__}.{cls.__qualname__}"


def target_of(cls: type, registry: Registry | None = None) -> str:
    """Return what a configuration calls a class: its registered name, else its import path.

    Raises:
        ConfigError: The class is defined inside a function.
    """
    if "<locals>" in cls.__qualname__:
        raise ConfigError(
            f"{import_path(cls)} is defined inside a function, so no configuration can name it",
            hint="define the class at the top level of a module",
        )
    if registry is None:
        from nemo_core.plugins import registry as process_registry

        registry = process_registry()
    return registry.name_of(cls) or import_path(cls)


def _bind(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Name the positional arguments; those that only a position can carry go to ``_args_``."""
    parameters = inspect.signature(cls).parameters
    bound = inspect.signature(cls).bind(*args, **kwargs)
    kinds = {name: parameters[name].kind for name in bound.arguments}
    positional_only = any(
        kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL) for kind in kinds.values()
    )
    if positional_only:
        return {"_args_": list(bound.args), **bound.kwargs}
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        named.update(value if kinds[name] is inspect.Parameter.VAR_KEYWORD else {name: value})
    return named


def _current(owner: Configured, name: str, value: Any) -> Any:
    if isinstance(value, Configured):
        present = getattr(owner, name, value)
        return present if isinstance(present, Configured) else value
    return value


def _snapshot(value: Any) -> Any:
    """Copy plain containers, so that what happens to a list or a dict later does not change the record."""
    if type(value) is list:
        return [_snapshot(item) for item in value]
    if type(value) is dict:
        return {key: _snapshot(item) for key, item in value.items()}
    return value


def _plain(value: Any, where: str, registry: Registry | None, keep: KeepArtifact | None) -> Any:
    """Return ``value`` as YAML can hold it: scalars, lists, dicts with ``_target_`` where an object was."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Configured):
        return value.to_config(registry=registry, keep=keep)
    if isinstance(value, enum.Enum):
        return _plain(value.value, where, registry, keep)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, str):
        return str(value)
    # Scalars of numpy are numbers in name; bool() and float() of an array are not asked for.
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(item, f"{where}.{key}", registry, keep) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_plain(item, f"{where}[{index}]", registry, keep) for index, item in enumerate(value)]
    raise ConfigError(
        f"{where}: {type(value).__module__}.{type(value).__qualname__} cannot be written into a configuration",
        hint="give plain values, lists, dicts, paths, or objects whose class derives from nemo_core.config.Configured",
    )


def _key(key: Any, where: str) -> Any:
    if key == "_target_":
        # Written as it is, the dict would come back as the object that it describes.
        raise ConfigError(
            f"{where}: a dict with the key _target_ cannot be an argument",
            hint="build the object with nemo_core.config.instantiate and pass that",
        )
    if type(key) in (str, int, float, bool):
        return key
    raise ConfigError(f"{where}: the key {key!r} cannot be written into a configuration", hint="use strings as keys")
