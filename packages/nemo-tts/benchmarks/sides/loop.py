"""The loop of a side: work when told to, and say what it took; runs in environments that do not have nemo-core."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["serve"]


def serve(work: Callable[[], dict[str, Any] | None]) -> None:
    """Answer every line of the input with what ``work()`` gives, its seconds, and the peak of memory so far."""
    _tell({"ready": True, **_peak()})
    for _ in sys.stdin:
        started = time.perf_counter()
        told = work() or {}
        seconds = time.perf_counter() - started
        _tell({"seconds": seconds, **_peak(), **told})


def _peak() -> dict[str, int]:
    unit = 1 if sys.platform == "darwin" else 1024
    return {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}


def _tell(answer: dict[str, Any]) -> None:
    print("@" + json.dumps(answer), flush=True)
