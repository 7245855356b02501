"""What is connected to what: the nodes and edges of a graph, without anything that runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_core.errors import GraphError
from nemo_core.modules.ports import Chain, Ports, chain

if TYPE_CHECKING:
    from nemo_core.modules import NeuralModule

__all__ = ["End", "Node", "Wiring"]


class End(NamedTuple):
    """One end of a connection; ``node`` is None for an input of the graph itself."""

    node: str | None
    port: str

    def __str__(self) -> str:
        return self.port if self.node is None else f"{self.node}.{self.port}"


class Node:
    """A place in a graph where a module is called.

    Args:
        name: Name of the node, unique in its graph.
        modules: Where the graph keeps its modules.
        weights: Name that the module is kept under: the node's own, or that of the node it shares its module with.
    """

    def __init__(self, name: str, modules: Mapping[str, Any], weights: str) -> None:
        self.name = name
        self.weights = weights
        self._modules = modules

    @property
    def module(self) -> NeuralModule:
        """The module that is called here."""
        module: NeuralModule = self._modules[self.weights]
        return module

    @property
    def inputs(self) -> Ports:
        """The input ports of the node."""
        return self.module.ports_of(self, "inputs")

    @property
    def outputs(self) -> Ports:
        """The output ports of the node."""
        return self.module.ports_of(self, "outputs")

    @property
    def port_label(self) -> str:
        """What errors call the node."""
        return self.name

    def __rshift__(self, other: object) -> Chain:
        return chain(self, other)

    def __repr__(self) -> str:
        return f"<node {self.name}: {type(self.module).__name__}>"


class Wiring:
    """Nodes and connections; every input has at most one source, and no path leads back to where it began."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.sources: dict[End, End] = {}
        self._next: dict[str, dict[str, None]] = {}
        self._fed: set[str] = set()

    def add(self, node: Node) -> None:
        """Add a node."""
        self.nodes[node.name] = node
        self._next[node.name] = {}

    def connect(self, source: End, target: End) -> None:
        """Connect two ends.

        Raises:
            GraphError: The target has a source already, or a cycle would close.
        """
        known = self.sources.get(target)
        if known is not None:
            raise GraphError(f"{target} already gets {known}", hint="an input has one source")
        if source.node is not None and target.node is not None:
            path = self.path(target.node, source.node)
            if path is not None:
                raise GraphError(
                    f"connecting {source} to {target} closes a cycle: {' -> '.join([*path, path[0]])}",
                    hint="a graph runs each node once, from inputs to outputs; put the loop inside a module",
                )
            self._next[source.node][target.node] = None
            self._fed.add(target.node)
        self.sources[target] = source

    def shrink(self, nodes: int, sources: int) -> list[Node]:
        """Keep only so many of the oldest nodes and connections; return the nodes that went."""
        gone = list(self.nodes.values())[nodes:]
        for node in gone:
            del self.nodes[node.name]
        kept = list(self.sources.items())[:sources]
        self.sources = {}
        self._next, self._fed = {name: {} for name in self.nodes}, set()
        for target, source in kept:
            self.connect(source, target)
        return gone

    def order(self) -> list[Node]:
        """Return the nodes so that each comes after those it depends on; otherwise as they were added."""
        waiting = dict.fromkeys(self.nodes, 0)
        for successors in self._next.values():
            for name in successors:
                waiting[name] += 1
        ready = [name for name, count in waiting.items() if not count]
        for name in ready:  # grows while it is walked
            for successor in self._next[name]:
                waiting[successor] -= 1
                if not waiting[successor]:
                    ready.append(successor)
        return [self.nodes[name] for name in ready]

    def path(self, start: str, end: str) -> list[str] | None:
        """Return the nodes on a way from ``start`` to ``end``, or None if there is none."""
        if start == end:
            return [start]
        # Building from either side adds nodes that nothing leads out of, or into: no search needed.
        if not self._next.get(start) or end not in self._fed:
            return None
        came_from: dict[str, str] = {}
        stack = [start]
        while stack:
            name = stack.pop()
            for successor in self._next[name]:
                if successor not in came_from:
                    came_from[successor] = name
                    stack.append(successor)
            if end in came_from:
                return list(_walk_back(came_from, start, end))[::-1]
        return None


def _walk_back(came_from: Mapping[str, str], start: str, end: str) -> Iterator[str]:
    name = end
    while name != start:
        yield name
        name = came_from[name]
    yield start
