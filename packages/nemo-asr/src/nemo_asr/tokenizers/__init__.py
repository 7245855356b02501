"""Text to tokens and back."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {"CharTokenizer": ".char"})
