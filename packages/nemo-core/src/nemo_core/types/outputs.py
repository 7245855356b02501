"""Giving names to what a ``forward`` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nemo_core.errors import NeuralTypeError

__all__ = ["named_values"]


def named_values(result: Any, names: Sequence[str], where: str, *, mandatory: int | None = None) -> tuple[Any, ...]:
    """Return the values of ``names``, in their order, from what a method returned.

    Args:
        result: A value (one name), or a tuple, list, NamedTuple, mapping or object with attributes of those names.
        names: Names of the declared outputs.
        where: The method, for errors.
        mandatory: How many of the first names must be there; all if not given. Others may be lacking and are ``None``.

    Raises:
        NeuralTypeError: Values are lacking or too many, or have other names.

    Example:
        >>> named_values({"length": 2, "encoded": 1}, ("encoded", "length"), "Encoder.forward")
        (1, 2)
    """
    least = len(names) if mandatory is None else mandatory
    declared = f"declares {len(names)} output{'s' * (len(names) != 1)} ({', '.join(names)})"
    if isinstance(result, Mapping):
        unknown = [str(name) for name in result if name not in names]
        missing = [name for name in names[:least] if name not in result]
        if unknown or missing:
            wrong = [f"{verb} {', '.join(some)}" for verb, some in (("lacks", missing), ("also has", unknown)) if some]
            raise NeuralTypeError(f"{where} {declared}; the mapping it returned {' and '.join(wrong)}")
        return tuple(result.get(name) for name in names)
    if len(names) == 1 and not (isinstance(result, tuple) and len(result) == 1):
        return (result,)
    fields = getattr(result, "_fields", None)
    if fields is not None and set(fields) == set(names):
        return tuple(getattr(result, name) for name in names)
    if isinstance(result, tuple | list):
        if not least <= len(result) <= len(names):
            raise NeuralTypeError(f"{where} {declared} but returned {len(result)}")
        return (*result, *[None] * (len(names) - len(result)))
    if not hasattr(result, "ndim") and all(hasattr(result, name) for name in names):
        return tuple(getattr(result, name) for name in names)
    raise NeuralTypeError(f"{where} {declared} but returned one {type(result).__name__}")
