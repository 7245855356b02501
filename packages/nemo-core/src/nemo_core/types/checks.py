"""Checks of values against declared types: what :func:`typed` prepares once and runs at every call."""

from __future__ import annotations

from itertools import permutations
from typing import Any, NoReturn

from nemo_core.errors import NeuralTypeError
from nemo_core.types.axes import AxisKind
from nemo_core.types.elements import Void
from nemo_core.types.neural_type import Declared, NeuralType, accepts, advice, transposition

__all__ = ["Check", "Sizes", "make_check"]

Sizes = dict[str, tuple[int, str, int]]
"""Named sizes met during one call: name -> (length, port and axis that had it first)."""


class Check:
    """Check of one port.

    Args:
        port: ``"Encoder.features"``, for errors and tags.
        declared: The type as the module declares it.
        optional: ``None`` passes.
    """

    __slots__ = ("declared", "optional", "port")

    def __init__(self, port: str, declared: Declared, optional: bool) -> None:
        self.port = port
        self.declared = declared
        self.optional = optional

    def __call__(self, value: Any, sizes: Sizes, elements: bool, tag: bool) -> None:
        """Check a value.

        Args:
            value: What was given or returned.
            sizes: Named sizes met so far in the call, added to here.
            elements: Whether element types are compared.
            tag: Whether the declared type and the port are written on each tensor: what comes out of a module carries
                its type to the next.

        Raises:
            NeuralTypeError: The value does not fit.
        """
        raise NotImplementedError

    def fail(self, given: str, hint: str | None = None) -> NoReturn:
        """Raise the error that names what was given and this port."""
        raise NeuralTypeError(f"{given} does not fit {self.port} {_show(self.declared)}", hint=hint)


class TensorCheck(Check):
    """Check of a tensor (anything with ``ndim`` and ``shape``), or of any value where the axes are left open."""

    __slots__ = ("fixed", "named", "rank", "sized", "type")

    def __init__(self, port: str, type: NeuralType, optional: bool) -> None:
        super().__init__(port, type, optional)
        self.type = type
        self.rank = type.rank
        axes = list(enumerate(type.axes or ()))
        self.fixed = tuple((i, axis.size) for i, axis in axes if isinstance(axis.size, int))
        self.named = tuple((i, axis.size) for i, axis in axes if isinstance(axis.size, str))
        self.sized = bool(self.fixed or self.named)

    def __call__(self, value: Any, sizes: Sizes, elements: bool, tag: bool) -> None:
        rank = self.rank
        if rank is not None:
            try:
                same_rank = value.ndim == rank
            except AttributeError:
                return self._check_other(value)
            if not same_rank:
                self._fail_shape(value)
            if self.sized:
                shape = value.shape
                for axis, size in self.fixed:
                    if shape[axis] != size:
                        self._fail_shape(value)
                if self.named:
                    self._check_named(value, shape, sizes)
        type = self.type
        known = getattr(value, "neural_type", None)
        if known is not None and known is not type:
            if elements and not accepts(type, known):
                self.fail(_describe(value), advice(type, known))
            # What was accepted says at least as much as what is declared, unless it says nothing.
            tag = tag and isinstance(known.element, Void)
        if tag and known is not type:
            try:
                value.neural_type = type
                value.neural_port = self.port
            except AttributeError:
                pass  # numbers, None and the arrays of other libraries carry no attributes
        return None

    def _check_other(self, value: Any) -> None:
        if value is None and self.optional:
            return
        if value is None:
            self.fail("None", "give a value, or declare the type with optional=True")
        if self.rank == 0 and isinstance(value, bool | int | float | complex):
            return
        self.fail(_describe(value), "give a tensor")

    def _check_named(self, value: Any, shape: Any, sizes: Sizes) -> None:
        for axis, name in self.named:
            length = shape[axis]
            if name not in sizes:
                sizes[name] = (length, self.port, axis)
            elif sizes[name][0] != length:
                known, port, where = sizes[name]
                self.fail(
                    _describe(value), f"size {name!r} is {length} at axis {axis}, but {known} at {port} axis {where}"
                )

    def _fail_shape(self, value: Any) -> NoReturn:
        shape = tuple(value.shape)
        tag = getattr(value, "neural_type", None)
        if len(shape) != self.rank:
            hint = f"it has {len(shape)} axes, wanted {self.rank}"
            if self.rank == len(shape) + 1:
                hint += f"; {_unsqueeze(self.type)}"
        else:
            orders = permutations(range(len(shape))) if len(shape) <= 6 else iter(())
            order = next((o for o in orders if all(shape[o[i]] == size for i, size in self.fixed)), None)
            wrong = [f"axis {i} has length {shape[i]}, wanted {size}" for i, size in self.fixed if shape[i] != size]
            hint = "; ".join(wrong)
            if order is not None:
                hint += f"; are the axes in another order? {transposition(order)} would fit"
        if isinstance(tag, NeuralType) and not accepts(self.type, tag):
            hint = advice(self.type, tag) or hint
        self.fail(_describe(value), hint)


class ListCheck(Check):
    """Check of a list or tuple of any length."""

    __slots__ = ("item",)

    def __init__(self, port: str, declared: Declared, optional: bool, item: Check) -> None:
        super().__init__(port, declared, optional)
        self.item = item

    def __call__(self, value: Any, sizes: Sizes, elements: bool, tag: bool) -> None:
        if not isinstance(value, list | tuple):
            if value is None and self.optional:
                return
            self.fail(_describe(value), "give a list of tensors")
        for item in value:
            self.item(item, sizes, elements, tag)


class TupleCheck(Check):
    """Check of a tuple or list of fixed length."""

    __slots__ = ("items",)

    def __init__(self, port: str, declared: Declared, optional: bool, items: tuple[Check, ...]) -> None:
        super().__init__(port, declared, optional)
        self.items = items

    def __call__(self, value: Any, sizes: Sizes, elements: bool, tag: bool) -> None:
        if not isinstance(value, list | tuple):
            if value is None and self.optional:
                return
            self.fail(_describe(value), f"give a tuple of {len(self.items)}")
        if len(value) != len(self.items):
            self.fail(_describe(value), f"it has {len(value)} items, wanted {len(self.items)}")
        for check, item in zip(self.items, value, strict=True):
            check(item, sizes, elements, tag)


def make_check(port: str, declared: Declared, optional: bool | None = None) -> Check:
    """Return the check of a port; ``optional`` overrides what the type says.

    Raises:
        NeuralTypeError: ``declared`` is neither a type nor a list or tuple of types.
    """
    if isinstance(declared, NeuralType):
        may_lack = declared.optional if optional is None else optional
        if declared.axes and declared.axes[0].is_list:
            item = make_check(port, NeuralType(declared.axes[1:], declared.element), optional=False)
            return ListCheck(port, declared, may_lack, item)
        return TensorCheck(port, declared, may_lack)
    if isinstance(declared, list) and len(declared) == 1:
        item = make_check(f"{port}[]", declared[0])
        return ListCheck(port, declared, item.optional if optional is None else optional, item)
    if isinstance(declared, tuple) and declared:
        items = tuple(make_check(f"{port}[{i}]", part) for i, part in enumerate(declared))
        return TupleCheck(port, declared, bool(optional), items)
    raise NeuralTypeError(
        f"{port} is declared as {declared!r}, which is no neural type",
        hint="declare a NeuralType, [NeuralType] for a list of them, or a tuple of them",
    )


def _show(declared: Declared) -> str:
    if isinstance(declared, NeuralType):
        return str(declared)
    parts = ", ".join(map(_show, declared))
    return f"[{parts}]" if isinstance(declared, list) else f"({parts})"


def _describe(value: Any) -> str:
    """Say what a value is: its port and type if it came out of a typed module, else its shape."""
    tag = getattr(value, "neural_type", None)
    shape = getattr(value, "shape", None)
    size = "" if shape is None else f" of shape ({', '.join(map(str, shape))})"
    if tag is not None:
        return f"{getattr(value, 'neural_port', 'tensor')} {tag}{size}"
    return f"{type(value).__name__}{size}"


def _unsqueeze(type: NeuralType) -> str:
    batch = type.axes is not None and type.axes[0].kind is AxisKind.Batch
    return "a single item needs a batch axis: .unsqueeze(0)" if batch else "is an axis missing?"
