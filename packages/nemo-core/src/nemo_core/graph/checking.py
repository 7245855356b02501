"""Checking a graph as a whole: what it takes, what it gives, and what is still missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from nemo_core.errors import GraphError
from nemo_core.graph.matching import check_types
from nemo_core.graph.plan import Plan
from nemo_core.graph.wiring import End, Wiring
from nemo_core.modules.ports import Port
from nemo_core.types import Declared
from nemo_core.types.neural_type import accepts

__all__ = ["make_plan", "offers"]

_Types = Mapping[str, Declared]


def make_plan(name: str, wiring: Wiring, inputs: Mapping[str, Port], outputs: Mapping[str, End]) -> Plan:
    """Check a graph and return how it runs.

    Args:
        name: Name of the graph.
        wiring: Its nodes and connections.
        inputs: The inputs it declares.
        outputs: The outputs it declares; none means those of the nodes that feed no other node.

    Raises:
        NeuralTypeError: Modules have changed since they were connected, and their types do not fit any more.
        GraphError: It has no outputs, inputs feed nothing, or open inputs of nodes share a name; all at once.
    """
    nodes = wiring.nodes
    takes = {node.name: node.module.input_types for node in nodes.values()}
    gives = {node.name: node.module.output_types for node in nodes.values()}
    feeds: dict[str, list[End]] = {input: [] for input in inputs}
    types = {input: port.type for input, port in inputs.items()}
    for end, begin in wiring.sources.items():
        given = types[begin.port] if begin.node is None else gives[begin.node].get(begin.port)
        wanted = takes[str(end.node)].get(end.port)
        if given is None or wanted is None or not accepts(wanted, given):
            source = inputs[begin.port] if begin.node is None else nodes[begin.node].outputs[begin.port]
            check_types(source, nodes[str(end.node)].inputs[end.port], offers(wiring, str(end.node)))
        if begin.node is None:
            feeds[begin.port].append(end)
    problems = [f"input {input} feeds nothing" for input, ends in feeds.items() if not ends]
    for port, ends in _open_inputs(wiring, takes).items():
        if port in feeds or len(ends) > 1:
            problems += [f"{end} {takes[str(end.node)][end.port]} is not connected" for end in ends]
        else:
            feeds[port] = ends
            types[port] = takes[str(ends[0].node)][port]
    outputs = outputs or _final(wiring, gives)
    if not outputs:
        problems.append("it has no outputs")
    if problems:
        raise GraphError(
            f"{name} is not complete: {'; '.join(problems)}",
            hint="connect each, or declare an input of the graph for it: graph.input(name, port)",
        )
    return Plan(name, wiring, feeds, types, outputs)


def offers(wiring: Wiring, target: str) -> Iterator[Port]:
    """Yield the outputs that an input of ``target`` could take without closing a cycle."""
    for name, node in wiring.nodes.items():
        if wiring.path(target, name) is None:
            yield from map(node.outputs.__getitem__, node.outputs)


def _open_inputs(wiring: Wiring, takes: Mapping[str, _Types]) -> dict[str, list[End]]:
    """Return the mandatory inputs that have no source, by the name of the port."""
    found: dict[str, list[End]] = {}
    for node, types in takes.items():
        for port in types:
            end = End(node, port)
            if end not in wiring.sources and not wiring.nodes[node].inputs[port].optional:
                found.setdefault(port, []).append(end)
    return found


def _final(wiring: Wiring, gives: Mapping[str, _Types]) -> dict[str, End]:
    """Return the outputs of the nodes that feed no other node, by names of their own."""
    feeding = {source.node for source in wiring.sources.values()}
    ends = [End(node, port) for node, types in gives.items() if node not in feeding for port in types]
    names = Counter(end.port for end in ends)
    return {end.port if names[end.port] == 1 else f"{end.node}_{end.port}": end for end in ends}
