"""What keys a mapping of a configuration may have: those of its schema, or the arguments of what it builds."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from nemo_core.config.build import plain
from nemo_core.config.problems import Problem, join, suggest
from nemo_core.config.schema import RecipeConfig
from nemo_core.config.signature import Parameter, Signature, signature
from nemo_core.config.static import locate
from nemo_core.config.trust import Trust
from nemo_core.errors import ComponentNotFoundError
from nemo_core.plugins import Registry

__all__ = ["Shape", "fill", "root_shape", "section", "shape_of"]

T = TypeVar("T")


@dataclass(frozen=True)
class Shape:
    """The keys that one mapping may have.

    Attributes:
        what: What a message calls the owner of the keys: ``trainer``, ``asr.ConformerEncoder``.
        parameters: The keys that are known.
        open: Whether other keys may be meant as well.
        sections: Schemas of keys that are mappings themselves.
        filled: How many of ``parameters`` are given by position (``_args_``), by name.
        elsewhere: Keys that people expect here, with a hint where what they want is found.
        null_is_absent: Whether a key that is null is as good as none, known or not: so what includes a recipe can take
            away what another optimizer or scheduler took.
    """

    what: str
    parameters: Mapping[str, Parameter]
    open: bool
    sections: Mapping[str, type] = field(default_factory=dict)
    filled: frozenset[str] = frozenset()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    null_is_absent: bool = False

    def missing(self, given: Mapping[str, Any]) -> list[str]:
        """Return the names of required keys that ``given`` lacks."""
        if "_partial_" in given:
            return []
        return [
            name
            for name, each in self.parameters.items()
            if each.required and name not in given and name not in self.filled
        ]


def root_shape() -> Shape:
    """Return the shape of a whole recipe. It is open: a recipe may have sections of its own."""
    return dataclasses.replace(_of_schema(RecipeConfig, "a recipe"), open=True)


def shape_of(
    value: Any, path: str, schema: type | None, trust: Trust, registry: Registry
) -> tuple[Shape | None, Problem | None]:
    """Return what keys a mapping may have, and the problem, if what it names is unknown or not trusted.

    Args:
        value: The mapping, of plain Python types; anything else has no shape.
        path: Where it is.
        schema: The dataclass that the place calls for, if any.
        trust: What a ``_target_`` may name.
        registry: Where names are looked up.
    """
    if not isinstance(value, Mapping):
        return None, None
    if "_target_" in value:
        found = trust.resolve(value["_target_"], registry, path)
        if isinstance(found, Problem):
            return None, found
        taken = signature(found.definition)
        positional = value.get("_args_") or ()
        filled = frozenset(taken.order[: len(positional)])
        return Shape(found.name, taken.parameters, taken.open, filled=filled), None
    if schema is None:
        return None, None
    shape = _of_schema(schema, path)
    kind = getattr(schema, "component", None)
    if kind is None or not isinstance(value.get("name"), str) or value["name"] == "???":
        return shape, None
    return _of_component(shape, kind, value["name"], path, registry)


def _of_component(shape: Shape, kind: str, name: str, path: str, registry: Registry) -> tuple[Shape, Problem | None]:
    """Add the arguments of the optimizer or scheduler that the section names to the keys of the section."""
    try:
        component = registry.get(kind, name)
    except ComponentNotFoundError:
        known = [each.name for each in registry.components(kind)]
        problem = Problem(join(path, "name"), f"no {kind} is called {name}", suggest(name, known))
        return dataclasses.replace(shape, open=True), problem
    taken: Signature = signature(locate(component.import_path)).without_first()
    # Training adds arguments that only it knows (the number of steps), so what is absent is not missing.
    optional = {key: dataclasses.replace(each, required=False) for key, each in taken.parameters.items()}
    parameters = {**optional, **shape.parameters}
    shape = dataclasses.replace(shape, what=f"{kind} {name}", parameters=parameters, open=taken.open)
    return dataclasses.replace(shape, null_is_absent=True), None


@functools.cache
def _of_schema(schema: type, what: str) -> Shape:
    fields = dataclasses.fields(schema)
    hints = typing.get_type_hints(schema)
    sections = {each.name: inner for each in fields if (inner := _dataclass_in(hints[each.name]))}
    parameters = {each.name: Parameter.of_field(each) for each in fields}
    return Shape(what, parameters, open=False, sections=sections, elsewhere=getattr(schema, "elsewhere", {}))


def _dataclass_in(hint: Any) -> type | None:
    """Return the dataclass that a type hint means: ``X``, or the one in ``X | None``."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return next((each for each in options if isinstance(each, type) and dataclasses.is_dataclass(each)), None)


def fill(schema: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``given`` with the defaults of a schema for what it lacks, in the order of the schema.

    A number becomes text where the schema wants text (``version: 3``).
    Keys that the schema has no default for stay absent, and keys that it does not know are kept, last.

    >>> filled = fill(RecipeConfig, {"mine": 1, "name": "tiny", "trainer": {"max_steps": 5}})
    >>> list(filled)[:2], list(filled)[-1], filled["trainer"]["max_steps"], filled["trainer"]["num_nodes"]
    (['name', 'recipe'], 'mine', 5, 1)
    """
    shape = _of_schema(schema, "")
    sections = shape.sections
    filled: dict[str, Any] = {}
    for each in dataclasses.fields(schema):
        default = each.default_factory() if each.default_factory is not dataclasses.MISSING else each.default
        value = shape.parameters[each.name].adapt(given.get(each.name, default))
        if each.name in sections and default is not None and value is None:
            value = {}  # "trainer:" with nothing below it
        if each.name in sections and isinstance(value, Mapping):
            value = fill(sections[each.name], value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = fill(type(value), {})
        if each.name in given or (value is not dataclasses.MISSING and value != "???"):
            filled[each.name] = value
    return filled | {key: value for key, value in given.items() if key not in filled}


def section(schema: type[T], node: Mapping[str, Any]) -> T:
    """Return a section of a validated recipe as an instance of its schema.

    >>> from nemo_core.config.schema import ExperimentConfig
    >>> experiment = section(ExperimentConfig, {"dir": "runs", "ema": {"decay": 0.99}})
    >>> experiment.ema.decay, experiment.ema.every_n_steps
    (0.99, 1)
    """
    shape = _of_schema(schema, "")  # type: ignore[arg-type]
    inner = shape.sections
    known = {each.name for each in dataclasses.fields(schema)}  # type: ignore[arg-type]
    values = plain(node)
    arguments = {
        name: section(inner[name], value)
        if name in inner and isinstance(value, Mapping)
        else shape.parameters[name].adapt(value)
        for name, value in values.items()
        if name in known
    }
    return schema(**arguments)
