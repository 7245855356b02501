"""What all processes must know alike before they go on: else some would wait for others that have given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import distributed

from nemo_core.errors import ArchiveError, NemoError

__all__ = ["agree", "all_or_none", "gather"]

T = TypeVar("T")


def agree(function: Callable[[], T], *, group: Any = None) -> T:
    """Call ``function`` in the first process alone, and return in all what it returns, or raise what it raises.

    >>> agree(lambda: 3)
    3
    """
    if _alone():
        return function()
    answer: list[Any] = [None, None]
    if distributed.get_rank() == 0:
        try:
            answer[0] = function()
        except Exception as error:
            answer[1] = error if isinstance(error, NemoError) else ArchiveError(f"{type(error).__name__}: {error}")
            distributed.broadcast_object_list(answer, src=0, group=group)
            raise
    distributed.broadcast_object_list(answer, src=0, group=group)
    if answer[1] is not None:
        raise answer[1]
    found: T = answer[0]
    return found


def all_or_none(error: NemoError | None) -> None:
    """Raise in all processes if one has an error: that of the lowest rank."""
    for each in gather(error):
        if each is not None:
            raise each


def gather(value: T, *, group: Any = None) -> list[T]:
    """Return what each process has, in all processes.

    >>> gather(3)
    [3]
    """
    if _alone():
        return [value]
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, value, group=group)
    return found


def _alone() -> bool:
    return not distributed.is_initialized() or distributed.get_world_size() == 1
