"""Immutable values that are equal when they say the same thing.

Hand-written rather than dataclasses: importing :mod:`nemo_core.types` must stay instant, and a hash that is computed
once is what makes looking up a checked signature cheap.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

__all__ = ["Value"]

_V = TypeVar("_V", bound="Value")
_set = object.__setattr__  # not through __dict__, which Python would have to make first


class Value:
    """Base of :class:`Axis`, :class:`ElementType` and :class:`NeuralType`: frozen, hashable, picklable."""

    _fields: tuple[str, ...] = ()
    _values: tuple[Any, ...]
    _hash: int

    def _freeze(self, **fields: Any) -> None:
        values = tuple(fields.values())
        _set(self, "_hash", hash((type(self), values)))
        _set(self, "_values", values)
        for name, value in fields.items():
            _set(self, name, value)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return self._values == other._values

    def __hash__(self) -> int:
        return self._hash

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable; make a new one instead of setting {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable; {name!r} cannot be deleted")

    def __copy__(self: _V) -> _V:
        return self

    def __deepcopy__(self: _V, memo: dict[int, Any]) -> _V:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Not the state as it is: hashes of strings differ from one process to the next.
        return _restore, (type(self), self._values)


def _restore(cls: type[_V], values: tuple[Any, ...]) -> _V:
    value = cls.__new__(cls)
    value._freeze(**dict(zip(cls._fields, values, strict=True)))
    return value
