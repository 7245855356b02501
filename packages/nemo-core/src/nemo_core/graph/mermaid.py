"""A graph as a Mermaid flowchart, which GitHub, Sphinx and most notebooks draw."""

from __future__ import annotations

from collections.abc import Mapping

from nemo_core.graph.wiring import End, Wiring
from nemo_core.types import Declared

__all__ = ["to_mermaid"]


def to_mermaid(
    wiring: Wiring, inputs: Mapping[str, list[End]], input_types: Mapping[str, Declared], outputs: Mapping[str, End]
) -> str:
    """Return the text of a left-to-right flowchart; edges carry the port and its type."""
    lines = ["flowchart LR"]
    lines += [f"  in_{name}([{_quote(name)}])" for name in inputs]
    for name, node in wiring.nodes.items():
        lines.append(f"  n_{name}[{_quote(f'{name}<br/>{type(node.module).__name__}')}]")
    lines += [f"  out_{name}([{_quote(name)}])" for name in outputs]
    for name, targets in inputs.items():
        lines += [f"  in_{name} -->|{_quote(str(input_types[name]))}| n_{end.node}" for end in targets]
    for target, source in wiring.sources.items():
        if source.node is not None:
            lines.append(f"  n_{source.node} -->|{_quote(_edge(wiring, source))}| n_{target.node}")
    lines += [f"  n_{end.node} -->|{_quote(_edge(wiring, end))}| out_{name}" for name, end in outputs.items()]
    return "\n".join(lines) + "\n"


def _edge(wiring: Wiring, end: End) -> str:
    types = wiring.nodes[str(end.node)].module.output_types
    return f"{end.port} {types[end.port]}"


def _quote(text: str) -> str:
    return '"' + text.replace("&", "&amp;").replace('"', "&quot;") + '"'
