"""Graphs of neural modules: chained by their ports, checked as they are chained, run as one module."""

from nemo_core._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {"NeuralGraph": ".graph", "Node": ".wiring"})
