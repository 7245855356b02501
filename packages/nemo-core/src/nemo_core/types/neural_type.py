"""Neural types: the axes of a tensor and the meaning of its elements.

>>> from nemo_core.types import MelSpectrogram, Spectrogram
>>> features = NeuralType(("B", "D", "T"), MelSpectrogram(n_mels=80))
>>> print(features)
(B, D, T) MelSpectrogram(n_mels=80)
>>> features.compare(NeuralType(("B", "D", "T"), Spectrogram())).name
'LESS'
>>> features.compare(NeuralType(("B", "T", "D"), MelSpectrogram())).name
'TRANSPOSE_SAME'
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TypeAlias

from nemo_core.errors import NeuralTypeError
from nemo_core.types._value import Value
from nemo_core.types.axes import Axis, AxisKind
from nemo_core.types.comparison import Comparison
from nemo_core.types.elements import ElementType, Void

__all__ = ["Declared", "NeuralType", "accepts", "advice", "compare"]


class NeuralType(Value):
    """Type of a tensor, or of a list of tensors: what its axes and its elements stand for.

    Args:
        axes: One entry per axis: :class:`Axis`, :class:`AxisKind` or the short form (``"B"``, ``"D:80"``,
            ``"T:frames"``, ``"[B]"``). ``()`` is a scalar; ``None`` is any shape, or no tensor at all.
        element: What the elements mean: an :class:`ElementType` or a subclass of it. Left out, any elements agree.
        optional: As an input: may be left out or ``None``. As an output: may be ``None``.

    Raises:
        NeuralTypeError: An axis or the element type is none, or a list axis follows a tensor axis.
    """

    _fields = ("axes", "element", "optional")
    axes: tuple[Axis, ...] | None
    element: ElementType
    optional: bool

    def __init__(
        self,
        axes: Iterable[Axis | AxisKind | str] | None = None,
        element: ElementType | type[ElementType] = Void,
        optional: bool = False,
    ) -> None:
        if isinstance(axes, str):
            raise NeuralTypeError(f"axes {axes!r} is one text", hint=f"write a tuple: {tuple(axes)!r}")
        if isinstance(element, type) and issubclass(element, ElementType):
            element = element()
        if not isinstance(element, ElementType):
            raise NeuralTypeError(
                f"{element!r} is not an element type", hint="use one of nemo_core.types, or a subclass"
            )
        try:
            known = None if axes is None else _read_axes(tuple(axes))
        except TypeError as error:
            if isinstance(error, NeuralTypeError):
                raise
            raise NeuralTypeError(f"axes {axes!r} are no axes", hint="write a tuple such as ('B', 'D', 'T')") from None
        self._freeze(axes=known, element=element, optional=bool(optional))

    @property
    def elements_type(self) -> ElementType:
        """The element type under the name NVIDIA NeMo gives it."""
        return self.element

    @property
    def rank(self) -> int | None:
        """Number of tensor axes (list axes not counted); ``None`` for any shape."""
        return None if self.axes is None else sum(not axis.is_list for axis in self.axes)

    def compare(self, other: NeuralType | None) -> Comparison:
        """Say how this type relates to another; :class:`Comparison` lists the answers.

        Neither side is privileged: LESS one way is GREATER the other way, every other answer is the same both ways.
        """
        return Comparison.UNCHECKED if other is None else _compare(self, other)

    def accepts(self, other: NeuralType | None) -> bool:
        """Say whether a value of the other type may be used where this one is declared."""
        return accepts(self, other)

    @classmethod
    def parse(cls, text: str) -> NeuralType:
        """Read a type from what ``str`` writes.

        Element types are found by class name among those that are imported.

        >>> NeuralType.parse("(B, D:80, T) MelSpectrogram(n_mels=80)?")
        NeuralType(('B', 'D:80', 'T'), MelSpectrogram(n_mels=80), optional=True)

        Raises:
            NeuralTypeError: The text is no type, or names no known element type, or one that two classes share.
        """
        match = _TYPE.fullmatch(text.strip())
        if match is None:
            raise NeuralTypeError(
                f"{text!r} is not a neural type", hint="write it as '(B, D, T) MelSpectrogram(n_mels=80)'"
            )
        axes = match["axes"].strip()
        parts = None if axes == "..." else [part for part in axes.split(",") if part.strip()]
        return cls(parts, _parse_element(match["name"], match["parameters"] or "", text), bool(match["optional"]))

    def __str__(self) -> str:
        axes = "..." if self.axes is None else ", ".join(map(str, self.axes))
        return f"({axes}) {self.element}{'?' if self.optional else ''}"

    def __repr__(self) -> str:
        axes = None if self.axes is None else tuple(map(str, self.axes))
        optional = ", optional=True" if self.optional else ""
        return f"NeuralType({axes}, {self.element!r}{optional})"


Declared: TypeAlias = "NeuralType | list[Declared] | tuple[Declared, ...]"
"""What a port is declared as: a type, a list of any length (``[type]``), or a tuple of fixed length."""


def compare(first: Declared | None, second: Declared | None) -> Comparison:
    """Compare two types or containers of types.

    ``[t]`` is a list of any length and ``(t, u)`` a tuple of two.

    >>> compare([NeuralType(("B",))], NeuralType(("B",))).name
    'CONTAINER_SIZE_MISMATCH'
    """
    if first is None or second is None:
        return Comparison.UNCHECKED
    if isinstance(first, NeuralType) and isinstance(second, NeuralType):
        return _compare(first, second)
    if type(first) is not type(second) or len(first) != len(second):  # type: ignore[arg-type]
        return Comparison.CONTAINER_SIZE_MISMATCH
    answers = {compare(a, b) for a, b in zip(first, second, strict=True)}  # type: ignore[arg-type]
    answers.discard(Comparison.SAME)
    if not answers:
        return Comparison.SAME
    # Parts that lean both ways make the whole unrelated; one kind of disagreement speaks for the whole.
    return answers.pop() if len(answers) == 1 else Comparison.INCOMPATIBLE


def accepts(declared: Declared | None, given: Declared | None) -> bool:
    """Say whether a value of type ``given`` may be used where ``declared`` is asked for."""
    return compare(declared, given) in (Comparison.SAME, Comparison.GREATER, Comparison.UNCHECKED)


@functools.lru_cache(maxsize=1024)  # properties that make their types anew at every call are common
def _read_axes(axes: tuple[Axis | AxisKind | str, ...]) -> tuple[Axis, ...]:
    known = tuple(Axis.of(axis) for axis in axes)
    for before, after in pairwise(known):
        if after.is_list and not before.is_list:
            raise NeuralTypeError(
                f"list axis {after} follows tensor axis {before} in ({', '.join(map(str, known))})",
                hint="a tensor cannot hold lists: put the list axes first",
            )
    return known


@functools.lru_cache(maxsize=4096)
def _compare(first: NeuralType, second: NeuralType) -> Comparison:
    elements = first.element.compare(second.element)
    a, b = first.axes, second.axes
    if a is None or b is None or (len(a) == len(b) and all(x.fits(y) for x, y in zip(a, b, strict=True))):
        return elements
    if elements is not Comparison.SAME:
        return Comparison.INCOMPATIBLE
    return Comparison.TRANSPOSE_SAME if permutation(b, a) else Comparison.DIM_INCOMPATIBLE


def permutation(given: tuple[Axis, ...], wanted: tuple[Axis, ...]) -> tuple[int, ...] | None:
    """Return the order in which the given axes are the wanted ones, or None: ``given[order[i]]`` fits ``wanted[i]``.

    Axes are matched one to one, so that (D, D, T) is no permutation of (D, T, T).
    """
    if len(given) != len(wanted):
        return None

    def extend(order: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(order) == len(wanted):
            yield order
            return
        for index, axis in enumerate(given):
            if index not in order and axis.fits(wanted[len(order)]):
                yield from extend((*order, index))

    return next(extend(()), None)


def advice(declared: Declared | None, given: Declared | None) -> str | None:
    """Return what would make a value of type ``given`` fit ``declared``, or at least what is in the way."""
    if not isinstance(declared, NeuralType) or not isinstance(given, NeuralType):
        return "the containers differ: a list of tensors and a tensor are not the same" if declared != given else None
    lines = []
    a, b = given.axes, declared.axes
    if a is not None and b is not None:
        if len(a) != len(b):
            lines.append(f"it has {len(a)} axes, wanted {len(b)}")
        elif not all(x.fits(y) for x, y in zip(a, b, strict=True)):
            order = permutation(a, b)
            if order is not None:
                lines.append(f"same axes in another order: {transposition(order)} brings it into the wanted one")
            else:
                pairs = enumerate(zip(a, b, strict=True))
                lines += [f"axis {i} is {x}, wanted {y}" for i, (x, y) in pairs if not x.fits(y)]
    result = declared.element.compare(given.element)
    if result is Comparison.SAME_TYPE_INCOMPATIBLE_PARAMS:
        conflicts = declared.element.conflicts(given.element).items()
        lines += [f"{name} is {theirs!r}, wanted {mine!r}" for name, (mine, theirs) in conflicts]
    elif result is Comparison.LESS:
        lines.append(f"{type(given.element).__name__} is more general than {type(declared.element).__name__}")
    return "; ".join(lines) or None


def transposition(order: tuple[int, ...]) -> str:
    """Write the torch call that brings axes into an order."""
    moved = [i for i, j in enumerate(order) if i != j]
    if len(moved) == 2:
        return f".transpose({moved[0]}, {moved[1]})"
    return f".permute({', '.join(map(str, order))})"


_TYPE = re.compile(r"\((?P<axes>[^)]*)\)\s*(?P<name>\w+)\s*(?:\((?P<parameters>.*)\))?\s*(?P<optional>\?)?", re.DOTALL)


def _parse_element(name: str, parameters: str, text: str) -> ElementType:
    import ast

    found = [cls for cls in _subclasses(ElementType) if cls.__name__ == name]
    if not found:
        import difflib

        near = difflib.get_close_matches(name, [cls.__name__ for cls in _subclasses(ElementType)], n=1)
        hint = f"did you mean {near[0]}?" if near else "import the module that defines it first"
        raise NeuralTypeError(f"{text!r}: no element type is called {name}", hint=hint)
    if len(found) > 1:
        modules = ", ".join(sorted(cls.__module__ for cls in found))
        raise NeuralTypeError(f"{text!r}: several element types are called {name}", hint=f"they come from {modules}")
    try:
        call = ast.parse(f"f({parameters})", mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError("not one call")
        arguments = [ast.literal_eval(value) for value in call.args]
        keywords = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError):
        raise NeuralTypeError(f"{text!r}: parameters ({parameters}) are not plain values") from None
    return found[0](*arguments, **keywords)


def _subclasses(cls: type[ElementType]) -> Iterator[type[ElementType]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _subclasses(child)
