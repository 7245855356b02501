"""The rules for plugins, and :func:`check_plugin`, which applies them all.

A rule is a generator: it takes a plugin and yields what it looked at and what it found.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from nemo_core.plugins import BUILDABLE, Component, PluginInfo, plugins

if TYPE_CHECKING:
    from nemo_core.config import Recipe

__all__ = ["RULES", "CheckResult", "check_plugin"]

#: What a plugin must not import before something of it is used.
HEAVY = ("jax", "lightning", "matplotlib", "pytorch_lightning", "scipy", "tensorflow", "torch", "transformers")

#: Kinds that name something other than an object to import.
_NOT_CODE = ("pretrained", "recipes")


@dataclass(frozen=True)
class CheckResult:
    """What one rule says of one thing.

    Attributes:
        plugin: Distribution.
        check: Name of the rule.
        subject: What was looked at: a component, a recipe, a command, the plugin.
        status: ``"passed"``, ``"failed"``, or ``"skipped"`` where there was nothing to go by.
        detail: What is wrong, or why it was skipped.
    """

    plugin: str
    check: str
    subject: str
    status: Literal["passed", "failed", "skipped"]
    detail: str = ""


class Skip(Exception):  # noqa: N818 - not an error
    """A check cannot be made."""


_Finding: TypeAlias = tuple[str, Callable[[], Any]]
_Rule: TypeAlias = Callable[[PluginInfo], Iterator[_Finding]]


def check_plugin(name: str, rules: tuple[str, ...] | None = None) -> list[CheckResult]:
    """Apply the rules to an installed plugin.

    Args:
        name: Of its distribution or its entry point.
        rules: Names of rules, see :data:`RULES`; all by default.

    Raises:
        PluginError: No such plugin is installed.

    Example:
        >>> {result.status for result in check_plugin("nemo-core", ("documented",))}
        {'passed'}
    """
    info = plugins().info(name)
    if info.error:
        return [CheckResult(info.distribution, "loads", info.module, "failed", info.error)]
    return [
        _result(info, rule, subject, check) for rule in rules or tuple(RULES) for subject, check in RULES[rule](info)
    ]


def _result(info: PluginInfo, rule: str, subject: str, check: Callable[[], Any]) -> CheckResult:
    try:
        check()
    except Skip as reason:
        return CheckResult(info.distribution, rule, subject, "skipped", str(reason))
    except AssertionError as error:
        return CheckResult(info.distribution, rule, subject, "failed", str(error))
    except Exception as error:
        return CheckResult(info.distribution, rule, subject, "failed", f"{type(error).__name__}: {error}")
    return CheckResult(info.distribution, rule, subject, "passed")


def imports_light(info: PluginInfo) -> Iterator[_Finding]:
    """Loading the plugin and registering its components imports nothing heavy."""

    def check() -> None:
        code = (
            "import sys\n"
            "from nemo_core.plugins import registry\n"
            "registry()\n"
            f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
        )
        environ = {**os.environ, "NEMO_PLUGINS": info.distribution, "NEMO_STRICT_PLUGINS": "1"}
        done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
        assert not done.stdout.strip(), (
            f"loading {info.module} imports {done.stdout.strip()}: import it where it is used"
        )

    yield info.module, check


def hooks_marked(info: PluginInfo) -> Iterator[_Finding]:
    """Functions of the plugin that are named like hooks are marked as such: others are never called."""
    module = sys.modules[info.module]

    def check() -> None:
        unmarked = [
            name
            for name, value in vars(module).items()
            if name.startswith("nemo_") and inspect.isfunction(value) and not hasattr(value, "nemo_impl")
        ]
        assert not unmarked, f"{', '.join(unmarked)}: mark it @hookimpl"
        assert info.hooks, f"{info.module} implements no hook"

    yield info.module, check


def loads(info: PluginInfo) -> Iterator[_Finding]:
    """Every component can be imported."""
    for component in _components(info):
        yield component.name, component.load


def documented(info: PluginInfo) -> Iterator[_Finding]:
    """Every component has a summary, and a docstring of its own."""

    def check(component: Component) -> None:
        assert component.summary.strip(), "has no summary: registry.<kind>(name, target, summary=...)"
        if component.kind in BUILDABLE:
            target = component.load()
            inherited = {None, "", *(base.__doc__ for base in getattr(target, "__mro__", ())[1:])}
            assert target.__doc__ not in inherited, f"{component.target} has no docstring of its own"

    for component in plugins().registry.components():
        if component.distribution == info.distribution and component.kind != "recipes":
            yield component.name, partial(check, component)


_PREFIXED = ("module", "model", "dataset", "tokenizer", "text_processor", "loss", "metric", "process", "augmentation")


def named_apart(info: PluginInfo) -> Iterator[_Finding]:
    """Names are ``<prefix>.<Name>``, so that plugins do not get in each other's way; bare ones are nemo-core's."""

    def check(component: Component) -> None:
        assert "." in component.name, f"call it <prefix>.{component.name}"

    for component in () if info.distribution == "nemo-core" else _components(info):
        if component.kind in _PREFIXED:
            yield component.name, partial(check, component)


def typed(info: PluginInfo) -> Iterator[_Finding]:
    """Modules declare types, and these hold on made-up inputs."""
    return _on_modules(info, "check_types")


def weights(info: PluginInfo) -> Iterator[_Finding]:
    """Modules give the same outputs once their weights were saved and loaded."""
    return _on_modules(info, "check_weights")


def configurable(info: PluginInfo) -> Iterator[_Finding]:
    """What a component says of itself builds its like."""

    def check(component: Component) -> None:
        from nemo_core.testing.modules import build, check_config

        _require_example(component)
        check_config(lambda: build(component))

    for component in _components(info):
        if component.kind in ("module", "loss") or "example" in component.metadata:
            yield component.name, partial(check, component)


def recipes_compose(info: PluginInfo) -> Iterator[_Finding]:
    """Recipes can be composed and have no mistakes; those that need a plugin that is not installed are skipped."""
    from nemo_core.config import compose
    from nemo_core.config.recipes import not_installed

    def check(recipe: Recipe) -> None:
        if missing := not_installed(recipe.metadata.get("needs") or ()):
            raise Skip(f"needs {', '.join(missing)}")
        compose(recipe.name)

    for recipe in _recipes(info):
        yield recipe.name, partial(check, recipe)


def recipes_described(info: PluginInfo) -> Iterator[_Finding]:
    """Recipes say what they train, in ``recipe: {summary: ...}``."""

    def check(recipe: Recipe) -> None:
        assert recipe.summary, "has no recipe: {summary: ...}"

    for recipe in _recipes(info):
        yield recipe.name, partial(check, recipe)


def commands_help(info: PluginInfo) -> Iterator[_Finding]:
    """Commands answer ``--help``."""

    def check(component: Component) -> None:
        command = [sys.executable, "-m", "nemo_core.cli.main", *component.name.split(), "--help"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr.strip()
        assert done.stdout.startswith("Usage: nemo"), done.stdout

    for component in plugins().registry.components("cli"):
        if component.distribution == info.distribution:
            yield component.name, partial(check, component)


#: Name -> rule, in the order in which they are applied.
RULES: dict[str, _Rule] = {
    rule.__name__: rule
    for rule in (
        imports_light,
        hooks_marked,
        loads,
        documented,
        named_apart,
        typed,
        weights,
        configurable,
        recipes_compose,
        recipes_described,
        commands_help,
    )
}


def _components(info: PluginInfo) -> Iterator[Component]:
    for component in plugins().registry.components():
        if component.distribution == info.distribution and component.target and component.kind not in _NOT_CODE:
            yield component


def _recipes(info: PluginInfo) -> Iterator[Recipe]:
    from nemo_core.config import list_recipes

    folders = plugins().registry.components("recipes")
    packages = {each.name for each in folders if each.distribution == info.distribution}
    return (recipe for recipe in list_recipes() if recipe.package in packages)


def _on_modules(info: PluginInfo, name: str) -> Iterator[_Finding]:
    def check(component: Component) -> None:
        from nemo_core.testing import modules

        _require_example(component)
        getattr(modules, name)(lambda: modules.build(component), component.metadata.get("example_sizes"))

    for component in _components(info):
        if component.kind in ("module", "loss"):
            yield component.name, partial(check, component)


def _require_example(component: Component) -> None:
    """Skip what cannot be built for want of arguments; a component that can do without needs no example."""
    if "example" in component.metadata:
        if component.metadata["example"] is None:
            raise Skip("is made of other components")
        return
    parameters = inspect.signature(component.load()).parameters.values()
    needed = [each.name for each in parameters if each.default is each.empty and each.kind not in (2, 4)]
    if needed:
        raise Skip(f"needs {', '.join(needed)}: register it with example={{...}} for this check")
