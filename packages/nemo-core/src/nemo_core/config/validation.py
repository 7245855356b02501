"""Everything that is wrong with a composed recipe, found without importing what it names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nemo_core.config.annotations import accepts, show
from nemo_core.config.build import check, plain
from nemo_core.config.problems import Problem, join, suggest
from nemo_core.config.shape import Shape, root_shape, shape_of
from nemo_core.config.signature import Parameter
from nemo_core.config.trust import Trust
from nemo_core.errors import ConfigError
from nemo_core.plugins import Registry
from nemo_core.plugins.nearest import nearest

__all__ = ["misfit", "trust_of", "validate"]

_SPECIAL = ("_target_", "_args_", "_partial_")


class _Unknown:
    """Stands for a value that is missing or cannot be resolved; that has been said, and nothing more can be."""


_UNKNOWN = _Unknown()


def validate(config: DictConfig, trust: Trust | None = None, *, registry: Registry | None = None) -> list[Problem]:
    """Return all mistakes of a composed recipe: keys, values, missing ones, references, names of components, trust.

    Args:
        config: As :func:`~nemo_core.config.compose` returns it.
        trust: What its ``_target_`` may name; if not given, what a person's recipe may, with its own ``trust:`` added.
        registry: Where names are looked up; the process's registry if not given.
    """
    if registry is None:
        from nemo_core.plugins import registry as process_registry

        registry = process_registry()
    try:
        trust = trust_of(config) if trust is None else trust
    except ConfigError as error:
        return [Problem("trust", error.message.removeprefix("trust: "), error.hint)]
    reader = _Reader()
    tree = reader.read(config, "")
    walk = _Walk(trust, registry, reader.references)
    problems = [*reader.problems, *walk.recipe(tree, OmegaConf.to_yaml(config))]
    # What stands behind a reference is skipped by the walk, which checks it in its own place; trust is checked in each.
    seen = {problem.message for problem in problems}
    return problems + [each for each in check(tree, trust, registry=registry) if each.message not in seen]


def trust_of(config: DictConfig) -> Trust:
    """Return the trust that a person's recipe asks for in its ``trust:`` list.

    Raises:
        ConfigError: The list is not well formed.
    """
    return Trust.user(plain(OmegaConf.select(config, "trust", default=None)) or [])


def misfit(parameter: Parameter, value: Any) -> str | None:
    """Return what is wrong with a value for a parameter, as a part of a sentence; None if nothing certainly is."""
    annotation = parameter.annotation
    if annotation is None or (value is None and parameter.nullable) or accepts(annotation, parameter.adapt(value)):
        return None
    return f"must be {show(annotation)}, not {value!r}"


class _Reader:
    """Turns a configuration into plain values, and notes what is missing, what refers, and what refers to nothing."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.references: set[str] = set()

    def read(self, node: DictConfig | ListConfig, path: str) -> Any:
        if isinstance(node, DictConfig):
            return {str(key): self._value(node, key, join(path, str(key))) for key in node}
        return [self._value(node, index, join(path, index)) for index in range(len(node))]

    def _value(self, node: DictConfig | ListConfig, key: Any, path: str) -> Any:
        if OmegaConf.is_missing(node, key):
            self.problems.append(Problem(path, "is not given", f"set it: {path}=..."))
            return _UNKNOWN
        refers = OmegaConf.is_interpolation(node, key)
        try:
            value = node[key]
            if not refers:
                return self.read(value, path) if isinstance(value, (DictConfig, ListConfig)) else value
            self.references.add(path)
            return plain(value, missing=True)
        except (OmegaConfBaseException, ConfigError, RecursionError) as error:
            text = OmegaConf.to_container(node, resolve=False)[key]  # type: ignore[index]
            self.problems.append(Problem(path, f"{text} cannot be resolved: {str(error).partition(chr(10))[0]}"))
            return _UNKNOWN


class _Walk:
    """Goes through a tree of plain values and compares each mapping with the shape that it should have."""

    def __init__(self, trust: Trust, registry: Registry, references: set[str]) -> None:
        self.trust = trust
        self.registry = registry
        self.references = references

    def recipe(self, tree: dict[str, Any], text: str) -> Iterator[Problem]:
        shape = root_shape()
        prefixes = {each.metadata.get("prefix") for each in self.registry.components("recipes")}
        for key, value in tree.items():
            if key in prefixes and isinstance(value, dict) and "model" in value:
                hint = f"begin that file with '# @package _global_', or include it as {key}/...@_global_"
                yield Problem(key, "a recipe that is included became a section of its own", hint)
            if key in shape.parameters or re.search(rf"\$\{{\s*{re.escape(key)}\s*[.\[}}]", text):
                continue
            # A section that no schema knows is the recipe's own, unless it is a known one misspelt.
            for meant in nearest(key, shape.parameters, 1):
                if meant not in tree or meant in shape.sections:
                    yield Problem(key, "no section of a recipe is called so", f"did you mean {meant}?")
                    yield from self.value(value, key, shape.sections.get(meant))
        yield from self.mapping(tree, "", shape)

    def value(self, value: Any, path: str, schema: type | None = None) -> Iterator[Problem]:
        if path in self.references:
            return
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.value(item, join(path, index))
        elif isinstance(value, dict):
            shape, problem = shape_of(value, path, schema, self.trust, self.registry)
            if problem:
                yield problem
            yield from self.mapping(value, path, shape)

    def mapping(self, tree: Mapping[str, Any], path: str, shape: Shape | None) -> Iterator[Problem]:
        """Check keys and values; ``shape`` is None where anything goes."""
        meant: set[str] = set()
        for key, value in tree.items():
            where = join(path, key)
            if shape is None or key in _SPECIAL:
                yield from self.value(value, where)
                continue
            parameter = shape.parameters.get(key)
            if value is None and shape.null_is_absent:
                continue
            if parameter is None and not shape.open:
                # Also what the tree has: that may be a default, or of the recipe that this one starts from.
                hint = shape.elsewhere.get(key) or suggest(key, shape.parameters)
                yield Problem(where, f"{shape.what} takes no {key}", hint)
                meant.update(nearest(key, set(shape.parameters) - set(tree), 1))
            wrong = None
            if parameter is not None and not _unknown(value):
                wrong = misfit(parameter, value)
                if key in shape.sections and not isinstance(value, dict) and not (value is None and parameter.nullable):
                    wrong = f"is a section with keys of its own, not {value!r}"
            if wrong:
                yield Problem(where, wrong)
            else:
                yield from self.value(value, where, shape.sections.get(key))
        if shape is not None:
            for name in shape.missing(tree):
                if name not in meant:  # given, but misspelt
                    yield Problem(join(path, name), f"{shape.what} needs it, and it is not given")


def _unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_unknown, value.values()))
    return any(map(_unknown, value)) if isinstance(value, list) else value is _UNKNOWN
