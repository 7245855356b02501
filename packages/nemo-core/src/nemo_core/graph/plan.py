"""A checked graph made ready to run: the order of the nodes, and where each takes its inputs from."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from nemo_core.errors import GraphError, NeuralTypeError
from nemo_core.graph.wiring import End, Wiring
from nemo_core.plugins.nearest import did_you_mean
from nemo_core.types import Declared, named_values

__all__ = ["Plan"]


class _Step(NamedTuple):
    """One call: values are numbered, and each argument and result has the number of its value.

    Values that are ``done`` with are let go, so that memory holds what is still needed, not all that was computed.
    """

    weights: str
    where: str
    arguments: tuple[tuple[str, int], ...]
    names: tuple[str, ...]
    results: tuple[int, ...]
    done: tuple[int, ...]


class Plan:
    """How a graph runs.

    Args:
        graph: Name of the graph.
        wiring: Its nodes and connections, checked.
        inputs: Its inputs, each with the inputs of nodes that it feeds.
        input_types: Their types.
        outputs: Its outputs, each with where it comes from.
    """

    def __init__(
        self,
        graph: str,
        wiring: Wiring,
        inputs: Mapping[str, list[End]],
        input_types: Mapping[str, Declared],
        outputs: Mapping[str, End],
    ) -> None:
        self.graph = graph
        self.input_types = input_types
        self.feeds = inputs
        self.mandatory = [name for name, type in input_types.items() if not getattr(type, "optional", False)]
        self.slots = {name: number for number, name in enumerate(inputs)}
        numbers = {End(None, name): number for name, number in self.slots.items()}
        sources = dict(wiring.sources)
        for name, targets in inputs.items():
            sources.update(dict.fromkeys(targets, End(None, name)))
        arguments: dict[str, list[tuple[str, End]]] = {name: [] for name in wiring.nodes}
        for target, source in sources.items():
            arguments[str(target.node)].append((target.port, source))
        order = wiring.order()
        last = {source: node.name for node in order for _, source in arguments[node.name]}
        kept = set(outputs.values())
        done: dict[str, list[End]] = {node.name: [] for node in order}
        for end, user in last.items():
            if end not in kept:
                done[user].append(end)
        steps = []
        for node in order:
            results = [End(node.name, port) for port in node.module.output_types]
            numbers.update({end: len(numbers) + index for index, end in enumerate(results)})
            steps.append(
                _Step(
                    node.weights,
                    f"{graph}.{node.name}",
                    tuple((port, numbers[source]) for port, source in arguments[node.name]),
                    tuple(end.port for end in results),
                    tuple(numbers[end] for end in results),
                    tuple(numbers[end] for end in done[node.name]),
                )
            )
        self.steps = tuple(steps)
        self.output_ends = outputs
        self.output_types = {
            name: wiring.nodes[str(end.node)].module.output_types[end.port] for name, end in outputs.items()
        }
        self.outputs = tuple(numbers[end] for end in outputs.values())
        self.result = _named_tuple(graph, outputs) if len(outputs) > 1 else None

    def run(self, modules: Mapping[str, Callable[..., Any]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call each module once and return the output, or a named tuple of them."""
        values = self._bind(args, kwargs)
        for step in self.steps:
            # An optional input of the graph may be missing, and is then left to the module's own default.
            result = modules[step.weights](**{name: values[slot] for name, slot in step.arguments if slot in values})
            if not (type(result) is tuple and len(result) == len(step.results)):
                result = named_values(result, step.names, step.where)
            values.update(zip(step.results, result, strict=True))
            del result
            for slot in step.done:
                values.pop(slot, None)
        if self.result is None:
            return values[self.outputs[0]]
        return self.result(*[values[slot] for slot in self.outputs])

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[int, Any]:
        names = list(self.slots)
        if len(args) > len(names):
            raise self._error(f"takes {len(names)} inputs, got {len(args)}")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in self.slots:
                raise self._error(f"has no input {name!r}", did_you_mean(name, names))
            if name in given:
                raise self._error(f"got {name} both by position and by name")
            given[name] = value
        missing = [name for name in self.mandatory if name not in given]
        if missing:
            needs = [f"{n} {self.input_types[n]}, for {' and '.join(map(str, self.feeds[n]))}" for n in missing]
            raise self._error(f"lacks {'; '.join(needs)}")
        return {self.slots[name]: value for name, value in given.items()}

    def _error(self, what: str, guess: str | None = None) -> NeuralTypeError:
        known = ", ".join(f"{name} {type}" for name, type in self.input_types.items())
        return NeuralTypeError(f"{self.graph} {what}", hint=" ".join(filter(None, (guess, f"its inputs are {known}"))))


def _named_tuple(graph: str, names: Iterable[str]) -> Callable[..., Any]:
    try:
        return namedtuple(f"{graph}_outputs", names)
    except ValueError as error:
        raise GraphError(f"{graph}: {error}", hint="name its outputs yourself: graph.output(name, port)") from None
