"""How good a recogniser is."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {"CharErrorRate": ".error_rate", "WordErrorRate": ".error_rate"})
