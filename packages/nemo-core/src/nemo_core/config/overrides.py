"""Overrides of the command line: parsed by Hydra's grammar, and judged against the recipe that they change.

Hydra stops at the first key that does not exist. Here every override is looked at; one that is misspelt is taken for
the nearest that exists, so that a mistake further inside it is found as well. A key that the recipe does not have but
that the schema or the constructor of a component knows needs no ``+``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nemo_core.config.build import plain
from nemo_core.config.problems import Problem, suggest
from nemo_core.config.shape import Shape, root_shape, shape_of
from nemo_core.config.trust import Trust
from nemo_core.config.validation import misfit
from nemo_core.errors import ConfigError
from nemo_core.plugins import Registry
from nemo_core.plugins.nearest import nearest

__all__ = ["Judged", "is_sweep", "judge", "parse_overrides"]


@dataclass
class Judged:
    """What came of a list of overrides.

    Attributes:
        accepted: The overrides as Hydra is to have them.
        problems: What is wrong with the others.
    """

    accepted: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def parse_overrides(lines: Sequence[str]) -> tuple[list[Override], list[Problem]]:
    """Parse each override by itself, so that all that are not well formed are reported.

    >>> parsed, problems = parse_overrides(["optim.lr=1e-3", "optim.lr", "~trainer.profiler"])
    >>> [override.key_or_group for override in parsed], [problem.path for problem in problems]
    (['optim.lr', 'trainer.profiler'], ['optim.lr'])
    """
    parser = OverridesParser.create()
    parsed, problems = [], []
    for line in lines:
        try:
            override = parser.parse_override(line)
            if not override.key_or_group:
                raise HydraException("it has no key")
            parsed.append(override)
        except HydraException as error:
            text = str(error).partition("\n")[0]
            hint = None if "=" in line or line.startswith("~") else "write key=value"
            problems.append(Problem(line, f"is no override: {text}", hint))
    return parsed, problems


def is_sweep(line: str) -> bool:
    """Whether a well-formed override gives several values.

    >>> is_sweep("optim.lr=0.1,0.2"), is_sweep("optim.betas=[0.9,0.99]")
    (True, False)
    """
    parsed, _ = parse_overrides([line])
    return any(override.is_sweep_override() for override in parsed)


def judge(overrides: Sequence[Override], config: DictConfig, trust: Trust, registry: Registry) -> Judged:
    """Compare overrides of values with the recipe.

    Args:
        overrides: Those that change values; groups are Hydra's to choose.
        config: The recipe without them, with the defaults of the schemas filled in.
        trust: What a ``_target_`` may name.
        registry: Where names are looked up.
    """
    judged = Judged()
    config = copy.deepcopy(config)
    # Which keys a component takes depends on which component it is: those that choose one come first.
    for override in sorted(overrides, key=lambda each: not each.key_or_group.endswith(("._target_", ".name"))):
        _Judge(config, trust, registry, judged).override(override)
    return judged


class _Judge:
    def __init__(self, config: DictConfig, trust: Trust, registry: Registry, judged: Judged) -> None:
        self.config = config
        self.trust = trust
        self.registry = registry
        self.judged = judged

    def override(self, override: Override) -> None:
        line = override.input_line or ""
        keys = override.key_or_group.split(".")
        mistakes = len(self.judged.problems)
        found, parameter = self.follow(keys, line, adding=override.is_add() or override.is_force_add())
        spelt = len(self.judged.problems) == mistakes
        if found is None:
            return
        if override.is_delete():
            if spelt and OmegaConf.select(self.config, override.key_or_group, throw_on_missing=False) is None:
                self.judged.problems.append(Problem(override.key_or_group, "is not there to be deleted"))
            elif spelt:
                self.judged.accepted.append(line)
            return
        value = None if override.is_sweep_override() else override.value()
        if not spelt and not isinstance(value, dict):
            # The line about the key also tells what is wrong with the value: it is one mistake of one place.
            refers = isinstance(value, str) and "${" in value
            wrong = misfit(parameter, value) if parameter and not refers and not override.is_sweep_override() else None
            if wrong:
                last = self.judged.problems[-1]
                hint = " ".join(filter(None, [last.hint, f"({parameter.name} {wrong})"]))
                self.judged.problems[-1] = Problem(last.path, last.message, hint, last.where)
            return
        try:
            if not override.is_sweep_override():
                OmegaConf.update(self.config, ".".join(found), value, merge=True, force_add=True)
        except (OmegaConfBaseException, TypeError, ValueError) as error:
            text = str(error).partition("\n")[0]
            self.judged.problems.append(Problem(override.key_or_group, f"cannot be set: {text}"))
            return
        assignment = line.lstrip("+") if spelt else f"{'.'.join(found)}={line.partition('=')[2]}"
        self.judged.accepted.append(f"++{assignment}")

    def follow(self, keys: list[str], line: str, *, adding: bool) -> tuple[list[str] | None, Any]:
        """Walk along a key, correcting it; return it as corrected (None if it leads nowhere) and its parameter."""
        node: Any = self.config
        shape: Shape | None = root_shape()
        schema: type | None = None
        found: list[str] = []
        parameter = None
        for index, key in enumerate(keys):
            known = self._known(node, shape)
            if key not in known:
                if adding and (shape is None or shape.open):
                    return [*found, *keys[index:]], None
                last = index == len(keys) - 1
                meant = self._correct(key, known, found, shape, line if last else None)
                if meant is None:
                    return None, None
                key = meant
            parameter = shape.parameters.get(key) if shape else None
            schema = shape.sections.get(key) if shape else None
            found.append(key)
            node = _child(node, key)
            shape, _ = shape_of(_names(node), ".".join(found), schema, self.trust, self.registry)
        return found, parameter

    def _correct(
        self, key: str, known: set[str], found: list[str], shape: Shape | None, line: str | None
    ) -> str | None:
        """Report a key that does not exist; return the one that was meant, as far as one can tell."""
        path = ".".join([*found, key])
        if shape and key in shape.elsewhere:
            self.judged.problems.append(Problem(path, f"{shape.what} has no {key}", shape.elsewhere[key]))
            return None
        meant = nearest(key, known, 1)
        owner = shape.what if shape else ".".join(found)
        hint = suggest(key, known - {"_target_", "_args_"})
        if not meant and line and (shape is None or shape.open):
            hint = f"{hint}; to add it, write +{line.lstrip('+')}"
        self.judged.problems.append(Problem(path, f"{owner} has no {key}", hint))
        return meant[0] if meant else None

    @staticmethod
    def _known(node: Any, shape: Shape | None) -> set[str]:
        known = {str(key) for key in node} if isinstance(node, DictConfig) else set()
        if isinstance(node, ListConfig):
            known = {str(index) for index in range(len(node))}
        return known | (set(shape.parameters) if shape else set())


def _child(node: Any, key: str) -> Any:
    try:
        if isinstance(node, ListConfig):
            return node[int(key)]
        return node[key] if isinstance(node, DictConfig) and key in node else None
    except OmegaConfBaseException:
        return None


def _names(node: Any) -> Any:
    """Return what the shape of a mapping depends on, and None for what is no mapping."""
    if not isinstance(node, DictConfig):
        return {} if node is None else None
    try:
        return {key: plain(node[key], missing=True) for key in ("_target_", "_args_", "name") if key in node}
    except (OmegaConfBaseException, ConfigError):
        return {}
