"""Turning audio into text."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__, {"Source": ".sources", "find_sources": ".sources", "transcribe": ".run"}
)
