"""Which outputs go to which inputs, when a whole module is connected to another: by name, then by type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nemo_core.errors import GraphError, NeuralTypeError
from nemo_core.modules.ports import Port, label_of
from nemo_core.types import Declared, NeuralType, Void
from nemo_core.types.neural_type import accepts, advice

__all__ = ["check_types", "match"]


def check_types(source: Port, target: Port, offers: Iterable[Port] = ()) -> None:
    """Raise NeuralTypeError unless values of ``source`` may be given to ``target``.

    Args:
        source: An output.
        target: An input.
        offers: Other outputs, of which the error suggests those that would fit.
    """
    if accepts(target.type, source.type):
        return
    fitting = [port for port in offers if _tells(port.type) and accepts(target.type, port.type)]
    fitting.sort(key=lambda port: port.name != target.name)
    names = [f"{label_of(port.owner)}.outputs.{port.name}" for port in fitting[:3]]
    guess = f"did you mean {' or '.join(names)}?" if names else None
    hint = "; ".join(filter(None, (advice(target.type, source.type), guess)))
    raise NeuralTypeError(f"{source} does not fit {target}", hint=hint or None)


def match(sources: Mapping[str, Port], targets: Mapping[str, Port]) -> list[tuple[Port, Port]]:
    """Pair outputs with the inputs that are still open.

    An input takes the output of its own name, if there is one. Each other mandatory input takes the one output, among
    those left, whose type fits; a single output and a single mandatory input are meant for each other whatever their
    names. Optional inputs are paired by name only.

    Raises:
        GraphError: Types leave more than one choice, or there is nothing to pair.
        NeuralTypeError: Two ports that are meant for each other do not fit.
    """
    pairs = [(sources[name], target) for name, target in targets.items() if name in sources]
    taken = {source.name for source, _ in pairs}
    outputs = [source for name, source in sources.items() if name not in taken]
    inputs = [target for name, target in targets.items() if name not in sources and not target.optional]
    if len(outputs) == 1 and len(inputs) == 1 and not pairs:
        pairs.append((outputs[0], inputs[0]))
    else:
        pairs += _by_type(outputs, inputs)
    if not pairs:
        given, wanted = (", ".join(map(str, ports.values())) or "nothing" for ports in (sources, targets))
        raise GraphError(f"nothing to connect: there is {given}, and open are {wanted}")
    for source, target in pairs:
        check_types(source, target, outputs)
    return pairs


def _by_type(outputs: list[Port], inputs: list[Port]) -> list[tuple[Port, Port]]:
    outputs = [source for source in outputs if _tells(source.type)]
    fitting = {t: [s for s in outputs if accepts(t.type, s.type)] for t in inputs if _tells(t.type)}
    choices = [(target, sources) for target, sources in fitting.items() if len(sources) > 1]
    problems = [f"{target} could take {' or '.join(map(str, sources))}" for target, sources in choices]
    for source in outputs:
        wanting = [str(target) for target, ports in fitting.items() if ports == [source]]
        if len(wanting) > 1:
            problems.append(f"{source} could go to {' or '.join(wanting)}")
    if problems:
        raise GraphError("ambiguous: " + "; ".join(problems), hint="connect these port by port")
    return [(ports[0], target) for target, ports in fitting.items() if ports]


def _tells(declared: Declared) -> bool:
    """Say whether a type says anything: what fits everything is no evidence that two ports belong together."""
    return not isinstance(declared, NeuralType) or not isinstance(declared.element, Void)
