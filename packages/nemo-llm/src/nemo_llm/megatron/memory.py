"""Memory of a training on a processor: what one step frees, the next one needs again."""

from __future__ import annotations

import ctypes
import functools
import sys

__all__ = ["keep_freed_memory"]

# Parameters of mallopt, from malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


@functools.cache
def keep_freed_memory() -> bool:
    """Have the C library keep what is freed, instead of giving it to the system and asking for it again.

    Activations and logits are large; by default each is mapped anew in every step, and the system clears it page by
    page while the computation waits (here 5 % of a step). Memory in use stays at its highest until the process ends.

    Returns:
        Whether it does: it is a feature of glibc.

    >>> keep_freed_memory() in (True, False)
    True
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30) and mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))
