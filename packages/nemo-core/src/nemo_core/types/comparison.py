"""The nine answers to "does this type fit where that one is asked for?"."""

from __future__ import annotations

import enum

__all__ = ["Comparison"]


class Comparison(enum.Enum):
    """How ``first.compare(second)`` came out; read it as "``first`` is ... ``second``"."""

    SAME = 0
    """The same type."""
    LESS = 1
    """A special case: the element type of the first is a subtype of the second's."""
    GREATER = 2
    """More general: the element type of the first is a supertype of the second's."""
    DIM_INCOMPATIBLE = 3
    """Same elements, but the axes differ in number, kind or size."""
    TRANSPOSE_SAME = 4
    """Same elements and axes, in another order."""
    CONTAINER_SIZE_MISMATCH = 5
    """Containers of different depth or length."""
    INCOMPATIBLE = 6
    """Unrelated elements, or related ones whose axes differ too."""
    SAME_TYPE_INCOMPATIBLE_PARAMS = 7
    """Same or related elements whose parameters differ, such as two sampling rates."""
    UNCHECKED = 8
    """One side has no type, so nothing was compared."""

    @property
    def mirrored(self) -> Comparison:
        """The answer with the two sides exchanged."""
        if self is Comparison.LESS:
            return Comparison.GREATER
        if self is Comparison.GREATER:
            return Comparison.LESS
        return self
