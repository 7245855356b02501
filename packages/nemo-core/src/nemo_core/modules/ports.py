"""Ports: the named, typed inputs and outputs of a module, as things that can be pointed at and connected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from nemo_core.errors import NeuralTypeError
from nemo_core.plugins.nearest import did_you_mean
from nemo_core.types import Declared

__all__ = ["Chain", "Direction", "Port", "Ports", "UnknownPortError", "chain", "label_of", "owner_of"]

Direction = Literal["inputs", "outputs"]


class UnknownPortError(NeuralTypeError, AttributeError):
    """A module has no port of that name."""


class _Chainable:
    """What may stand on either side of ``>>``."""

    __slots__ = ()

    def __rshift__(self, other: Any) -> Chain:
        return chain(self, other)


class Chain:
    """Modules and ports in the order they shall be connected: ``NeuralGraph.connect(a >> b >> c)``.

    A chain only says what follows what; a graph checks it and connects it.
    """

    __slots__ = ("links",)

    def __init__(self, links: tuple[Any, ...]) -> None:
        self.links = links

    def __rshift__(self, other: Any) -> Chain:
        return chain(self, other)


def chain(first: Any, second: Any) -> Chain:
    """Return what ``first >> second`` means."""
    links = [link.links if isinstance(link, Chain) else (link,) for link in (first, second)]
    return Chain((*links[0], *links[1]))


class Port(_Chainable):
    """One input or output of a module, or of a node of a graph.

    Args:
        owner: The module or node.
        direction: ``"inputs"`` or ``"outputs"``.
        name: Name of the port.
        type: What the owner declares it as.
        optional: Whether it may be left open.
    """

    __slots__ = ("direction", "name", "optional", "owner", "type")

    def __init__(self, owner: Any, direction: Direction, name: str, type: Declared, optional: bool = False) -> None:
        self.owner = owner
        self.direction: Direction = direction
        self.name = name
        self.type = type
        self.optional = optional

    def __str__(self) -> str:
        return f"{label_of(self.owner)}.{self.name} {self.type}"

    def __repr__(self) -> str:
        return f"<{label_of(self.owner)}.{self.direction}.{self.name} {self.type}>"


class Ports(_Chainable):
    """The inputs or the outputs of a module: ``module.outputs.encoded``, or ``module.outputs["encoded"]``.

    Iterating gives the names. There are no other public attributes, so that a port may have any name (``keys``).

    Args:
        owner: The module or node.
        direction: ``"inputs"`` or ``"outputs"``.
        types: Names and types.
        optional: Names of inputs that may be left open although their type does not say so.
    """

    __slots__ = ("_direction", "_optional", "_owner", "_types")

    def __init__(
        self, owner: Any, direction: Direction, types: Mapping[str, Declared], optional: frozenset[str] = frozenset()
    ) -> None:
        self._owner = owner
        self._direction: Direction = direction
        self._types = types
        self._optional = optional

    def __getitem__(self, name: str) -> Port:
        declared = self._types.get(name)
        if declared is None:
            known = ", ".join(f"{port} {type}" for port, type in self._types.items())
            listing = f"its {self._direction} are {known}" if known else f"it declares no {self._direction}"
            raise UnknownPortError(
                f"{label_of(self._owner)}.{self._direction} has no port {name!r}",
                hint=" ".join(filter(None, (did_you_mean(name, self._types), listing))),
            )
        optional = name in self._optional or getattr(declared, "optional", False)
        return Port(self._owner, self._direction, name, declared, optional)

    def __getattr__(self, name: str) -> Port:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._types]

    def __repr__(self) -> str:
        return f"<{label_of(self._owner)}.{self._direction}: {', '.join(self._types)}>"


def owner_of(ports: Port | Ports) -> Any:
    """Return the module or node that has a port, or ports."""
    return ports._owner if isinstance(ports, Ports) else ports.owner


def label_of(owner: Any) -> str:
    """Return what the owner of a port is called: its name in a graph, else its class in snake case.

    >>> class CTCDecoder: ...
    >>> label_of(CTCDecoder())
    'ctc_decoder'
    """
    label = getattr(owner, "port_label", None)  # nodes and graphs have names
    if isinstance(label, str):
        return label
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(owner).__name__)
    return words.lower().strip("_") or "module"
