"""Graphs of neural modules: chained by their ports, checked as they are chained, run as one module."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_core.graph.graph import NeuralGraph as NeuralGraph
    from nemo_core.graph.wiring import Node as Node

__getattr__, __dir__ = attach(__name__)
