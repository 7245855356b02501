"""Where a text stops."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["StopFinder"]


class StopFinder:
    r"""Find the first of several texts in a text that comes in pieces, and give out what certainly stands before it.

    The text that is complete first counts; of several complete at once, the longest.

    Args:
        stops: The texts to look for.

    Example:
        >>> finder = StopFinder(["\n\n"])
        >>> finder.push("To be\n"), finder.push("\nor"), finder.found
        ('To be', '', '\n\n')
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = sorted(stops, key=len, reverse=True)
        self._held = ""
        self.found: str | None = None

    def push(self, piece: str) -> str:
        """Take a piece and return the text that is certain now; nothing any more once a stop is found."""
        if self.found is not None:
            return ""
        text = self._held + piece
        ends = [(at + len(stop), -len(stop), stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if ends:
            end, _, self.found = min(ends)
            self._held = ""
            return text[: end - len(self.found)]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Return what was held back because a stop might have begun with it."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Return how many of the last letters of ``text`` are the first of ``stop``, not all of it."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)
