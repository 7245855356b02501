"""The check of a whole call: which argument is which port, what is missing, what came out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nemo_core.errors import NeuralTypeError
from nemo_core.types.checks import Check, Sizes, make_check
from nemo_core.types.neural_type import Declared
from nemo_core.types.outputs import named_values

__all__ = ["CallCheck", "call_check"]

_Items = tuple[tuple[str, Declared], ...]


class CallCheck:
    """Checks of the inputs and outputs of one method of one class, for one set of types."""

    __slots__ = (
        "_by_name",
        "_inputs",
        "_mandatory",
        "_names",
        "_output_names",
        "_outputs",
        "_positional",
        "_required",
        "_where",
    )

    def __init__(self, cls: type, method: Callable[..., Any], inputs: _Items, outputs: _Items) -> None:
        import inspect  # not at the top: it would be most of what importing nemo_core.types costs

        self._where = f"{cls.__name__}.{method.__name__}"
        parameters = list(inspect.signature(method).parameters.values())[1:]
        kinds = inspect.Parameter
        fixed = [p.name for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
        names = {p.name for p in parameters if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)}
        defaults = {p.name: p.default for p in parameters if p.default is not kinds.empty}
        declared = dict(inputs)
        beyond = [name for name in declared if name not in names]
        if beyond and not any(p.kind is kinds.VAR_KEYWORD for p in parameters):
            raise NeuralTypeError(
                f"{cls.__name__}.input_types declares {', '.join(beyond)}, which {self._where} does not take",
                hint=f"it takes {', '.join(sorted(names))}" if names else "it takes no arguments",
            )
        if any(p.kind is kinds.VAR_POSITIONAL for p in parameters):
            fixed += beyond
        checks = {
            name: make_check(f"{cls.__name__}.{name}", type, True if defaults.get(name, ...) is None else None)
            for name, type in inputs
        }
        self._inputs = checks
        self._names = tuple(fixed)
        self._positional = tuple(checks.get(name) for name in fixed)
        # A parameter that no type is declared for passes unchecked; a name that is neither is an error.
        self._by_name: dict[str, Check | None] = {**dict.fromkeys(names), **checks}
        self._required = tuple(name for name in checks if not (checks[name].optional or name in defaults))
        self._output_names = tuple(name for name, _ in outputs)
        self._outputs = tuple(make_check(f"{cls.__name__}.{name}", type) for name, type in outputs)
        lacking = [i for i, check in enumerate(self._outputs) if not check.optional]
        self._mandatory = lacking[-1] + 1 if lacking else 0

    def inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any], elements: bool) -> Sizes:
        """Check the arguments of a call; return the named sizes that were met.

        Raises:
            NeuralTypeError: A name is unknown, missing or given twice, or a value does not fit its port.
        """
        sizes: Sizes = {}
        if not self._inputs:
            return sizes
        positional = self._positional
        if len(args) > len(positional):
            raise self._error(f"takes {len(positional)} positional arguments, got {len(args)}")
        for index, value in enumerate(args):
            check = positional[index]
            if check is not None:
                check(value, sizes, elements, False)
        if kwargs:
            by_name = self._by_name
            for name, value in kwargs.items():
                if name not in by_name:
                    self._fail_unknown(kwargs)
                check = by_name[name]
                if check is not None:
                    check(value, sizes, elements, False)
        if (args and kwargs) or len(args) + len(kwargs) < len(self._by_name):
            self._check_names(args, kwargs)
        return sizes

    def outputs(self, result: Any, sizes: Sizes, elements: bool) -> None:
        """Check what a call returned and write the declared types on it.

        Raises:
            NeuralTypeError: Values are lacking, too many or wrongly named, or do not fit what is declared.
        """
        outputs = self._outputs
        if not outputs:
            return
        if type(result) is tuple and len(result) == len(outputs) != 1:
            values = result
        else:
            values = named_values(result, self._output_names, self._where, mandatory=self._mandatory)
        for index, value in enumerate(values):
            outputs[index](value, sizes, elements, True)

    def _check_names(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = self._names[: len(args)]
        twice = [name for name in given if name in kwargs]
        if twice:
            raise self._error(f"got {', '.join(twice)} both by position and by name")
        missing = [name for name in self._required if name not in kwargs and name not in given]
        if missing:
            lines = ", ".join(f"{name} {self._inputs[name].declared}" for name in missing)
            raise self._error(f"lacks {lines}")

    def _fail_unknown(self, kwargs: dict[str, Any]) -> None:
        from difflib import get_close_matches

        unknown = [name for name in kwargs if name not in self._by_name]
        near = [match for name in unknown for match in get_close_matches(name, self._by_name, n=1)]
        raise self._error(f"has no input {', '.join(unknown)}", f"did you mean {', '.join(near)}?" if near else "")

    def _error(self, what: str, hint: str = "") -> NeuralTypeError:
        ports = ", ".join(f"{name} {check.declared}" for name, check in self._inputs.items())
        return NeuralTypeError(f"{self._where} {what}", hint=f"{hint} its inputs are {ports}".strip())


def call_check(cls: type, method: Callable[..., Any], inputs: _Items, outputs: _Items) -> CallCheck:
    """Return the check for a call; made once for a class, a method and a set of types."""
    try:
        return _cached(cls, method, inputs, outputs)
    except TypeError:  # a list among the types has no hash
        return _cached(cls, method, _freeze(inputs), _freeze(outputs))


# Bounded: types that are made anew for every instance cannot fill the memory.
@functools.lru_cache(maxsize=1024)
def _cached(cls: type, method: Callable[..., Any], inputs: _Items, outputs: _Items) -> CallCheck:
    return CallCheck(cls, method, _thaw(inputs), _thaw(outputs))


_LIST = object()


def _freeze(declared: Any) -> Any:
    if isinstance(declared, list):
        return (_LIST, *map(_freeze, declared))
    return tuple(map(_freeze, declared)) if isinstance(declared, tuple) else declared


def _thaw(declared: Any) -> Any:
    if not isinstance(declared, tuple):
        return declared
    if declared and declared[0] is _LIST:
        return list(map(_thaw, declared[1:]))
    return tuple(map(_thaw, declared))
