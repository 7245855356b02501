"""Axes of a tensor: what each dimension means and, where it is known, how long it is.

>>> Axis.of("D:80")
Axis('D:80')
>>> Axis.of("time").kind is AxisKind.Time
True
"""

from __future__ import annotations

import enum
import re

from nemo_core.errors import NeuralTypeError
from nemo_core.types._value import Value

__all__ = ["Axis", "AxisKind"]


class AxisKind(enum.Enum):
    """What an axis stands for; the value is the short form that types are written in."""

    Batch = "B"
    Time = "T"
    Dimension = "D"
    Channel = "D"  # the same kind by its other name
    Width = "W"
    Height = "H"
    Any = "ANY"
    Sequence = "SEQ"
    FlowGroup = "FLOWGROUP"
    Singleton = "S"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def from_str(cls, label: str) -> AxisKind:
        """Return the kind a label names, whatever its case: ``"B"``, ``"batch"``, ``"t_audio"``, ``"seq"``...

        Raises:
            NeuralTypeError: The label names no kind of axis.
        """
        text = label.strip().lower()
        kind = _LABELS.get(text)
        if kind is None and text.startswith("t_") and len(text) > 2:
            kind = cls.Time
        if kind is None:
            raise NeuralTypeError(
                f"{label!r} is not an axis",
                hint=f"axes are {', '.join(str(kind) for kind in cls)}, or their full names",
            )
        return kind


_LABELS = {
    "b": AxisKind.Batch,
    "n": AxisKind.Batch,
    "batch": AxisKind.Batch,
    "t": AxisKind.Time,
    "time": AxisKind.Time,
    "d": AxisKind.Dimension,
    "dimension": AxisKind.Dimension,
    "c": AxisKind.Dimension,
    "channel": AxisKind.Dimension,
    "w": AxisKind.Width,
    "width": AxisKind.Width,
    "h": AxisKind.Height,
    "height": AxisKind.Height,
    "any": AxisKind.Any,
    "seq": AxisKind.Sequence,
    "sequence": AxisKind.Sequence,
    "flowgroup": AxisKind.FlowGroup,
    "s": AxisKind.Singleton,
    "singleton": AxisKind.Singleton,
}

_AXIS = re.compile(r"(?P<open>\[)?\s*(?P<kind>\w+)\s*(?::\s*(?P<size>\w+)\s*)?(?P<close>\])?")


class Axis(Value):
    """One axis: its kind, and its size where the type fixes it.

    Args:
        kind: What the axis stands for, or its label.
        size: Length of the axis; ``None`` leaves it open. A name (``"frames"``) leaves it open too, but every axis of
            one call that carries the same name must have the same length.
        is_list: The axis is a Python list rather than a dimension of a tensor. List axes come first and have no size.
    """

    _fields = ("kind", "size", "is_list")
    kind: AxisKind
    size: int | str | None
    is_list: bool

    def __init__(self, kind: AxisKind | str, size: int | str | None = None, is_list: bool = False) -> None:
        if isinstance(kind, str):
            kind = AxisKind.from_str(kind)
        if isinstance(size, bool) or not isinstance(size, int | str | None):
            raise NeuralTypeError(f"axis {kind}: size {size!r} is no length and no name", hint="write 80 or 'frames'")
        if isinstance(size, int) and size < 0:
            raise NeuralTypeError(f"axis {kind}: size {size} is negative")
        if isinstance(size, str) and not size.isidentifier():
            raise NeuralTypeError(f"axis {kind}: {size!r} cannot name a size", hint="use a name such as 'frames'")
        if is_list and size is not None:
            raise NeuralTypeError(
                f"axis {kind}: a list axis has no size", hint="lists may be of any length; drop the size"
            )
        if kind is AxisKind.Singleton:
            if size not in (None, 1):
                raise NeuralTypeError(f"axis {kind}: size {size!r} is not 1", hint="a singleton axis has size 1; use D")
            size = None if is_list else 1
        self._freeze(kind=kind, size=size, is_list=bool(is_list))

    @classmethod
    def of(cls, axis: Axis | AxisKind | str) -> Axis:
        """Read an axis from its short form: ``"B"``, ``"D:80"``, ``"T:frames"``, or ``"[B]"`` for a list.

        Raises:
            NeuralTypeError: The text is no axis.
        """
        if isinstance(axis, Axis):
            return axis
        if isinstance(axis, AxisKind):
            return cls(axis)
        match = _AXIS.fullmatch(axis.strip()) if isinstance(axis, str) else None
        if match is None or bool(match["open"]) != bool(match["close"]):
            raise NeuralTypeError(f"{axis!r} is not an axis", hint="write 'B', 'D:80', 'T:frames', or '[B]' for a list")
        size = match["size"]
        return cls(match["kind"], int(size) if size is not None and size.isdecimal() else size, bool(match["open"]))

    def fits(self, other: Axis) -> bool:
        """Say whether the two can be the same axis: same kind (or any), and no two different lengths."""
        if self.is_list != other.is_list:
            return False
        if self.kind is not other.kind and AxisKind.Any not in (self.kind, other.kind):
            return False
        # Names are local to the module that declares them, so a name and anything else may be the same length.
        return self.size == other.size or not (isinstance(self.size, int) and isinstance(other.size, int))

    def __str__(self) -> str:
        shown = self.size is not None and self.kind is not AxisKind.Singleton
        text = f"{self.kind}:{self.size}" if shown else str(self.kind)
        return f"[{text}]" if self.is_list else text

    def __repr__(self) -> str:
        return f"Axis({str(self)!r})"
