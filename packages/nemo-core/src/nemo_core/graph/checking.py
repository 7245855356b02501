"""Checking a graph as a whole: what it takes, what it gives, and what is still missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nemo_core.errors import GraphError
from nemo_core.graph.matching import check_types
from nemo_core.graph.plan import Plan
from nemo_core.graph.wiring import End, Wiring
from nemo_core.modules.ports import Port, Ports

__all__ = ["make_plan", "offers"]

_Ports = Mapping[str, tuple[Ports, Ports]]


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
    ports = {node.name: (node.inputs, node.outputs) for node in wiring.nodes.values()}
    feeds: dict[str, list[End]] = {input: [] for input in inputs}
    types = {input: port.type for input, port in inputs.items()}
    for end, begin in wiring.sources.items():
        source = inputs[begin.port] if begin.node is None else ports[begin.node][1][begin.port]
        check_types(source, ports[str(end.node)][0][end.port], offers(wiring, str(end.node)))
        if begin.node is None:
            feeds[begin.port].append(end)
    problems = [f"input {input} feeds nothing" for input, ends in feeds.items() if not ends]
    for port, ends in _open_inputs(ports, wiring).items():
        if port in feeds or len(ends) > 1:
            problems += [f"{end} {_type_of(ports, end)} is not connected" for end in ends]
        else:
            feeds[port] = ends
            types[port] = ports[str(ends[0].node)][0][port].type
    outputs = outputs or _final(ports, wiring)
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
            yield from node.outputs.values()


def _open_inputs(ports: _Ports, wiring: Wiring) -> dict[str, list[End]]:
    """Return the mandatory inputs that have no source, by the name of the port."""
    found: dict[str, list[End]] = {}
    for node, (inputs, _) in ports.items():
        for port in inputs.values():
            if not port.optional and End(node, port.name) not in wiring.sources:
                found.setdefault(port.name, []).append(End(node, port.name))
    return found


def _final(ports: _Ports, wiring: Wiring) -> dict[str, End]:
    feeding = {source.node for source in wiring.sources.values()}
    ends = [End(node, port) for node, (_, outputs) in ports.items() if node not in feeding for port in outputs]
    names = [end.port for end in ends]
    return {end.port if names.count(end.port) == 1 else f"{end.node}_{end.port}": end for end in ends}


def _type_of(ports: _Ports, end: End) -> str:
    return str(ports[str(end.node)][0][end.port].type)
