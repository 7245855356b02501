"""Modules chained by their ports into one module."""

from __future__ import annotations

import contextlib
import itertools
import keyword
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from nemo_core.config.configured import target_of
from nemo_core.errors import GraphError
from nemo_core.graph.checking import make_plan, offers
from nemo_core.graph.files import read_yaml, write_yaml
from nemo_core.graph.matching import check_types, match
from nemo_core.graph.mermaid import to_mermaid
from nemo_core.graph.plan import Plan
from nemo_core.graph.wiring import End, Node, Wiring
from nemo_core.modules.module import NeuralModule
from nemo_core.modules.ports import Chain, Direction, Port, Ports, label_of, owner_of
from nemo_core.plugins.nearest import did_you_mean
from nemo_core.types import Declared, NeuralType

if TYPE_CHECKING:
    from nemo_core.config import Trust
    from nemo_core.config.configured import KeepArtifact
    from nemo_core.plugins import Registry

__all__ = ["NeuralGraph"]


class NeuralGraph(NeuralModule):
    """Neural modules whose outputs are connected to each other's inputs; itself a neural module.

    Every connection is checked when it is made: names, axes, sizes, element types, one source for each input, no
    cycles. A graph runs its nodes in order of dependency, trains, nests in other graphs, and is written to YAML.

    *Inputs.* :meth:`input` declares one. A mandatory input of a node that nothing is connected to becomes an input of
    the graph under its own name; where two such inputs share a name, :meth:`check` asks for a decision.

    *Outputs.* :meth:`output` declares them. If none is declared, they are the outputs of the nodes that feed no other
    node, under their own names, preceded by that of the node where two share a name. A call returns the value of a
    single output, a named tuple of several.

    *Nodes* are named with :meth:`add`, or after the class of their module when they are first connected. The names
    are the first part of the keys of ``state_dict()``.

    *Sharing.* A module that is added twice under different names is called twice with the same weights; they appear
    in ``state_dict()`` under the first name only. Its two places are told apart by the nodes that :meth:`add` returns.

    Args:
        name: Name of the graph.
        nodes: Modules by node name; a text names the node whose module is shared.
        inputs: Graph inputs: name -> its type as a text, or the node input (``"encoder.features"``) that it feeds.
        connections: ``"encoder.encoded -> decoder.encoded"``, or ``"audio -> mel.audio"`` for a graph input.
        outputs: Graph outputs: name -> ``"decoder.log_probs"``.

    Example:
        >>> import torch
        >>> from nemo_core.types import AcousticEncoded, LogProbs, MelSpectrogram, NeuralType
        >>> class Encoder(NeuralModule):
        ...     input_types = {"features": NeuralType(("B", "D", "T"), MelSpectrogram())}
        ...     output_types = {"encoded": NeuralType(("B", "D", "T"), AcousticEncoded())}
        ...
        ...     def forward(self, features):
        ...         return features.tanh()
        >>> class Decoder(NeuralModule):
        ...     input_types = {"encoded": NeuralType(("B", "D", "T"), AcousticEncoded())}
        ...     output_types = {"log_probs": NeuralType(("B", "T", "D"), LogProbs())}
        ...
        ...     def forward(self, encoded):
        ...         return encoded.transpose(1, 2).log_softmax(-1)
        >>> encoder, decoder = Encoder(), Decoder()
        >>> graph = NeuralGraph("tiny")
        >>> graph.connect(encoder >> decoder)
        >>> graph(features=torch.zeros(1, 4, 9)).shape
        torch.Size([1, 9, 4])
        >>> graph.connect(decoder.outputs.log_probs, encoder.inputs.features)
        Traceback (most recent call last):
        nemo_core.errors.NeuralTypeError: decoder.log_probs (B, T, D) LogProbs does not fit
          encoder.features (B, D, T) MelSpectrogram
          same axes in another order: .transpose(1, 2) brings it into the wanted one
    """

    def __init__(
        self,
        name: str = "graph",
        nodes: Mapping[str, NeuralModule | str] | None = None,
        inputs: Mapping[str, str] | None = None,
        connections: Iterable[str] = (),
        outputs: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.name = _identifier(name, "graph")
        self._wiring = Wiring()
        self._places: dict[torch.nn.Module, list[Node]] = {}
        self._declared_inputs: dict[str, Declared] = {}
        self._declared_outputs: dict[str, End] = {}
        self._plan: Plan | None = None
        for node, module in (nodes or {}).items():
            self.add(node, self._named(module).module if isinstance(module, str) else module)
        for input, what in (inputs or {}).items():
            self.input(input, NeuralType.parse(what) if "(" in what else self._port(what, "inputs"))
        for connection in connections:
            source, arrow, target = (part.strip() for part in connection.partition("->"))
            if not arrow:
                raise GraphError(f"{name}: {connection!r} is no connection", hint="write 'node.output -> node.input'")
            self.connect(self._port(source, "outputs"), self._port(target, "inputs"))
        for output, what in (outputs or {}).items():
            self.output(output, self._port(what, "outputs"))

    # --- Building ----------------------------------------------------------------------------------------------------

    def add(self, name: str, module: NeuralModule) -> Node:
        """Add a module under a name of its own.

        Args:
            name: Name of the node, a Python identifier.
            module: The module; one that is in the graph already is shared, not copied.

        Returns:
            The node. Its ``inputs`` and ``outputs`` say which of the places of a shared module is meant.

        Raises:
            GraphError: The name is taken or unusable, or ``module`` is no neural module.
        """
        if not isinstance(module, NeuralModule):
            raise GraphError(
                f"{self.name}: {type(module).__name__} is no NeuralModule, so its ports are not known",
                hint="derive it from nemo_core.NeuralModule and declare input_types and output_types",
            )
        _identifier(name, f"{self.name}: node")
        if self._taken(name):
            raise GraphError(f"{self.name}: the name {name} is taken", hint="give the node another name")
        if module is self:
            raise GraphError(f"{self.name}: a graph cannot be a node of itself")
        places = self._places.setdefault(module, [])
        node = Node(name, self._modules, places[0].weights if places else name)
        if not places:
            self.add_module(name, module)
        places.append(node)
        self._wiring.add(node)
        self._changed()
        return node

    def input(self, name: str, to: Port | NeuralType) -> Port:
        """Declare an input of the graph.

        Args:
            name: Name of the input, an argument of the call.
            to: The input port it feeds, whose type it takes, or a type.

        Returns:
            A port to connect to further inputs: ``graph.connect(audio, other.inputs.audio)``.

        Raises:
            GraphError: The name is taken or unusable, or the port has a source already.
        """
        _identifier(name, f"{self.name}: input")
        if name in self._declared_inputs:
            hint = "to feed another port, connect what graph.input returned"
            raise GraphError(f"{self.name} has an input {name} already", hint=hint)
        declared = to.type if isinstance(to, Port) else to
        if isinstance(to, Port) and isinstance(declared, NeuralType) and to.optional:
            declared = NeuralType(declared.axes, declared.element, optional=True)
        port = Port(self, "inputs", name, declared)
        with self._undone_if_refused():
            self._declared_inputs[name] = declared
            if isinstance(to, Port):
                self._connect([(port, to)])
        return port

    def output(self, name: str, port: Port) -> None:
        """Declare an output of the graph; once one is declared, only declared ones are returned.

        Raises:
            GraphError: The name is taken or unusable, or the port is no output of a module.
        """
        _identifier(name, f"{self.name}: output")
        if name in self._declared_outputs:
            raise GraphError(f"{self.name} has an output {name} already")
        with self._undone_if_refused():
            self._declared_outputs[name] = self._source(port)
        if self._declared_outputs[name].node is None:
            del self._declared_outputs[name]
            raise GraphError(f"{self.name}: output {name} is an input of the graph", hint="return it where you call it")

    def connect(self, source: Any, target: Any = None) -> None:
        """Connect an output to an input, or the outputs of one module to the inputs of another.

        ``connect(a.outputs.x, b.inputs.y)`` connects two ports. ``connect(a.outputs, b.inputs)``, or ``connect(a, b)``,
        pairs ports by name, then by type (:func:`nemo_core.graph.matching.match` has the rules);
        ``connect(a >> b >> c)`` does so along a chain. One output may feed any number of inputs. A connection that is
        refused changes nothing.

        Raises:
            NeuralTypeError: The types do not fit; the error names both ports, both types, and what would fit.
            GraphError: The input has a source already, a cycle would close, or there is more than one way to pair.
        """
        links = source.links if target is None and isinstance(source, Chain) else (source, target)
        with self._undone_if_refused():
            for before, after in itertools.pairwise(links):
                self._connect(self._pairs(before, after))

    def _pairs(self, source: Any, target: Any) -> list[tuple[Port, Port]]:
        given = source if isinstance(source, Port | Ports) else self._node(source).outputs
        wanted = target if isinstance(target, Port | Ports) else self._node(target).inputs
        if isinstance(given, Port) and isinstance(wanted, Port):
            return [(given, wanted)]
        node = self._node(owner_of(wanted)).name
        targets = _by_name(wanted).items()
        free = {name: port for name, port in targets if End(node, name) not in self._wiring.sources}
        return match(_by_name(given), free)

    def _connect(self, pairs: Iterable[tuple[Port, Port]]) -> None:
        for source, target in pairs:
            if target.direction != "inputs" or target.owner is self:
                raise GraphError(
                    f"{target} is no input of a module", hint="the input comes second: connect(output, input)"
                )
            begin, end = self._source(source), End(self._node(target.owner).name, target.name)
            check_types(source, target, offers(self._wiring, str(end.node)))
            self._wiring.connect(begin, end)

    def _source(self, port: Port) -> End:
        if port.owner is self and port.direction == "inputs":
            return End(None, port.name)
        if port.direction != "outputs":
            raise GraphError(
                f"{port} is an input, not an output", hint="the output comes first: connect(output, input)"
            )
        return End(self._node(port.owner).name, port.name)

    def _node(self, owner: Any) -> Node:
        """Return the node of a module, which is added if it has none yet."""
        if isinstance(owner, Node):
            if self._wiring.nodes.get(owner.name) is not owner:
                raise GraphError(f"{owner!r} belongs to another graph than {self.name}")
            return owner
        if owner is self or not isinstance(owner, NeuralModule):
            label = self.name if owner is self else type(owner).__name__
            raise GraphError(f"{self.name}: {label} cannot be connected", hint="connect NeuralModules, or their ports")
        places = self._places.get(owner, [])
        if len(places) > 1:
            names = " and ".join(node.name for node in places)
            raise GraphError(
                f"{self.name}: {type(owner).__name__} is shared by {names}, so its ports are ambiguous",
                hint="connect the ports of the nodes that graph.add returned",
            )
        return places[0] if places else self.add(self._free_name(label_of(owner)), owner)

    def _free_name(self, label: str) -> str:
        number, name = 1, label
        while self._taken(name):
            number += 1
            name = f"{label}_{number}"
        return name

    def _changed(self) -> None:
        self.__dict__["_plan"] = None  # torch's own __setattr__ takes longer than all else that connecting does

    def _taken(self, name: str) -> bool:
        return name in self._wiring.nodes or name in self.__dict__ or hasattr(type(self), name)

    @contextlib.contextmanager
    def _undone_if_refused(self) -> Iterator[None]:
        """Take back what a block added, if it ends in an error."""
        nodes, sources = len(self._wiring.nodes), len(self._wiring.sources)
        inputs, outputs = len(self._declared_inputs), len(self._declared_outputs)
        try:
            yield
        except BaseException:
            for table, size in ((self._declared_inputs, inputs), (self._declared_outputs, outputs)):
                while len(table) > size:
                    table.popitem()  # the newest first
            for node in self._wiring.shrink(nodes, sources):
                self._places[node.module].remove(node)
                if node.weights == node.name:
                    del self._places[node.module], self._modules[node.name]
            raise
        finally:
            self._changed()

    # --- Checking and running ----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check the graph as a whole, and make it ready to run; a call does so by itself after a change.

        Raises:
            NeuralTypeError: Modules have changed since they were connected, and their types do not fit any more.
            GraphError: The graph is empty, inputs feed nothing, or open inputs share a name; all problems at once.
        """
        self._plan = make_plan(self.name, self._wiring, self._placeholders(), self._declared_outputs)

    def _ready(self) -> Plan:
        if self._plan is None:
            self.check()
        assert self._plan is not None
        return self._plan

    @property
    def input_types(self) -> Mapping[str, Declared]:
        """The inputs of the graph: those declared, then the mandatory inputs of nodes that nothing is connected to."""
        return self._ready().input_types

    @property
    def output_types(self) -> Mapping[str, Declared]:
        """The outputs of the graph: those declared, else those of the nodes that feed no other node."""
        return self._ready().output_types

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the nodes, each once, in order of dependency.

        Args:
            args: Inputs of the graph in their order.
            kwargs: Inputs of the graph by name.

        Returns:
            The output, or a named tuple of them.

        Raises:
            NeuralTypeError: Inputs are missing or unknown, all named at once, or a value does not fit.
        """
        return self._ready().run(self._modules, args, kwargs)  # type: ignore[arg-type]

    def __setattr__(self, name: str, value: Any) -> None:
        nodes = self._wiring.nodes if "_wiring" in self.__dict__ else {}
        super().__setattr__(name, value)
        if name in nodes:  # a module was exchanged for another
            self._places = {}
            for node in nodes.values():
                self._places.setdefault(node.module, []).append(node)
            self._changed()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_plan": None}  # holds a class made on the fly, which cannot be pickled

    # --- Writing and drawing -----------------------------------------------------------------------------------------

    def to_config(self, *, registry: Registry | None = None, keep: KeepArtifact | None = None) -> dict[str, Any]:
        """Return the node that builds this graph, as it is now: modules, connections, inputs and outputs, no weights.

        Raises:
            ConfigError: A module cannot be written.
        """
        wiring = self._wiring
        nodes = {
            name: node.module.to_config(registry=registry, keep=keep) if node.weights == name else node.weights
            for name, node in wiring.nodes.items()
        }
        inputs: dict[str, str] = {}
        links = []
        for end, begin in wiring.sources.items():
            if begin.node is None and begin.port not in inputs and self._same_type(begin.port, end):
                inputs[begin.port] = str(end)
            else:
                links.append(f"{begin} -> {end}")
        inputs = {name: inputs.get(name, str(type)) for name, type in self._declared_inputs.items()}
        return {
            "_target_": target_of(type(self), registry),
            "name": self.name,
            "nodes": nodes,
            "inputs": inputs,
            "connections": links,
            "outputs": {name: str(end) for name, end in self._declared_outputs.items()},
        }

    def to_yaml(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the graph, without weights, to a YAML file.

        Raises:
            ConfigError: The file exists and ``overwrite`` is false, or a module cannot be written.
        """
        return write_yaml(self.to_config(), Path(path), overwrite=overwrite)

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str], *, trust: Trust | None = None) -> NeuralGraph:
        """Build a graph from what :meth:`to_yaml` wrote, or from what was written by hand in its form.

        Args:
            path: The file.
            trust: What its modules may be; registered components and torch layers if not given. For modules of your
                own: ``Trust.user(["my_package"])``.

        Raises:
            ConfigError: The file is missing, is no YAML, or describes no graph.
            UntrustedTargetError: It names what is not trusted; nothing was imported.
        """
        return read_yaml(cls, Path(path), trust)

    def to_mermaid(self) -> str:
        """Return a Mermaid flowchart of the graph: modules, and on each edge the port and its type."""
        plan = self._ready()
        return to_mermaid(self._wiring, plan.feeds, plan.input_types, plan.output_ends)

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The nodes by name, in the order in which they were added."""
        return MappingProxyType(self._wiring.nodes)

    @property
    def port_label(self) -> str:
        """What errors call the graph."""
        return self.name

    def _same_type(self, input: str, end: End) -> bool:
        port = self._wiring.nodes[str(end.node)].inputs[end.port]
        declared = self._declared_inputs[input]
        return str(declared).rstrip("?") == str(port.type).rstrip("?")

    def _placeholders(self) -> dict[str, Port]:
        return {name: Port(self, "inputs", name, type) for name, type in self._declared_inputs.items()}

    def _named(self, name: str) -> Node:
        node = self._wiring.nodes.get(name)
        if node is None:
            raise GraphError(f"{self.name} has no node {name!r}", hint=did_you_mean(name, self._wiring.nodes))
        return node

    def _port(self, text: str, direction: Direction) -> Port:
        """Find the port that ``node.port`` names; without a dot it is an input of the graph."""
        name, dot, port = text.partition(".")
        if dot:
            node = self._named(name)
            return node.inputs[port] if direction == "inputs" else node.outputs[port]
        if direction == "inputs" or name not in self._declared_inputs:
            hint = did_you_mean(name, self._declared_inputs) or "write 'node.port'"
            raise GraphError(f"{self.name} has no input {name!r}", hint=hint)
        return self._placeholders()[name]


def _by_name(ports: Port | Ports) -> dict[str, Port]:
    return {ports.name: ports} if isinstance(ports, Port) else {name: ports[name] for name in ports}


def _identifier(name: Any, what: str) -> str:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise GraphError(
            f"{what}: {name!r} is no usable name", hint="use letters, digits and underscores, as in 'encoder_1'"
        )
    return name
