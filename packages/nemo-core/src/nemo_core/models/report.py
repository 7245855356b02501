"""What became of each weight when a model took weights from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["LoadReport"]

_SHOWN = 10


@dataclass
class LoadReport:
    """Outcome of loading weights into a model.

    Attributes:
        source: Where the weights came from.
        loaded: Names of the model's weights that were set.
        missing: Names of the model's weights that the source does not have; they keep what they were initialised with.
        unexpected: Names of weights that the source has and the model has no place for.
        mismatched: Weights present on both sides with different shapes, as name -> (model's shape, source's shape).
        skipped: Names of the source's weights that include and exclude patterns left out.

    Example:
        >>> report = LoadReport("a.nemo", loaded=["w"], mismatched={"head": ((3, 8), (5, 8))})
        >>> report.complete
        False
        >>> print(report)
        a.nemo: 1 weight loaded, 1 of another shape
          of another shape: head: (3, 8) here, (5, 8) there
    """

    source: str
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every weight on either side found its counterpart."""
        return not (self.missing or self.unexpected or self.mismatched)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return {
            "source": self.source,
            "complete": self.complete,
            "loaded": self.loaded,
            "missing": self.missing,
            "unexpected": self.unexpected,
            "mismatched": {name: [list(here), list(there)] for name, (here, there) in self.mismatched.items()},
            "skipped": self.skipped,
        }

    def __str__(self) -> str:
        shapes = [f"{name}: {here} here, {there} there" for name, (here, there) in self.mismatched.items()]
        parts = [
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("of another shape", shapes),
            ("left out by pattern", self.skipped),
        ]
        count = len(self.loaded)
        head = f"{self.source}: {count} weight{'' if count == 1 else 's'} loaded"
        head += "".join(f", {len(names)} {what}" for what, names in parts if names)
        lines = [head]
        for what, names in parts:
            if names:
                more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
                lines.append(f"  {what}: {', '.join(names[:_SHOWN])}{more}")
        return "\n".join(lines)
