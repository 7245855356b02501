"""What a configuration may name: registered components, a few families of classes, and what a person adds.

A ``_target_`` is judged by its text and by source files, before anything is imported. ``torch.nn.modules.os.system`` is
reachable by attributes of an allowed package but is no class that the package defines, so it is refused.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from nemo_core.config.problems import Problem
from nemo_core.config.static import Definition, find_module, locate
from nemo_core.errors import ConfigError, UntrustedTargetError
from nemo_core.plugins import BUILDABLE, Component, Registry
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["Family", "Target", "Trust"]


@dataclass(frozen=True)
class Family:
    """Classes that a package defines and that derive from one root."""

    package: str
    root: str


_TORCH = (
    Family("torch.nn", "torch.nn.modules.module.Module"),
    Family("torch.optim", "torch.optim.optimizer.Optimizer"),
    Family("torch.optim", "torch.optim.lr_scheduler.LRScheduler"),
)
_LIGHTNING = (
    Family("pytorch_lightning.loggers", "pytorch_lightning.loggers.logger.Logger"),
    Family("pytorch_lightning.callbacks", "pytorch_lightning.callbacks.callback.Callback"),
)
_PARTLY = {
    "torch": "only layers (torch.nn), optimizers and schedulers (torch.optim)",
    "pytorch_lightning": "only loggers and callbacks",
}


@dataclass(frozen=True)
class Target:
    """What an accepted ``_target_`` means.

    Attributes:
        name: As the configuration wrote it.
        definition: Where it is defined; None where source does not tell.
        component: The registered component; None for what the allow-list or a person's trust admits.
    """

    name: str
    definition: Definition | None
    component: Component | None = None
    packages: tuple[str, ...] = field(default=(), repr=False)

    def load(self) -> Callable[..., Any]:
        """Import what the target means and return it.

        Raises:
            ConfigError: It cannot be imported, or is not what may be called.
        """
        if self.component is not None:
            found = self.component.load()
        else:
            path = self.definition.path if self.definition else self.name.replace(":", ".")
            found = _import(path, self.name)
            home = getattr(found, "__module__", None) or ""
            if not any(_inside(home, package) for package in self.packages):
                raise UntrustedTargetError(
                    f"_target_ {self.name} is defined in {home or 'an unknown module'}, which is not trusted",
                    hint=f"trusted: {', '.join(self.packages)}",
                )
        if not callable(found):
            raise ConfigError(f"_target_ {self.name} is {type(found).__name__}, which cannot be called")
        checked: Callable[..., Any] = found
        return checked


@dataclass(frozen=True)
class Trust:
    """Who wrote a configuration, and so what it may name. Use :meth:`user` or :meth:`archive`.

    >>> Trust.user().resolve("os.system", Registry())
    Problem(path='', message='_target_ os.system is not trusted', hint=..., where=None)
    >>> Trust.user().resolve("torch.nn.Linear", Registry()).definition.path
    'torch.nn.modules.linear.Linear'
    """

    families: tuple[Family, ...]
    packages: tuple[str, ...] = ()
    by_person: bool = True

    @classmethod
    def user(cls, packages: Iterable[str] = ()) -> Trust:
        """For what a person typed or keeps in a recipe of their own; ``packages`` is what their ``trust:`` adds.

        Raises:
            ConfigError: A package is not named properly, or is part of Python itself.
        """
        names = tuple([packages] if isinstance(packages, str) else packages)
        for name in names:
            if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
                raise ConfigError(
                    f"trust: {name!r} is not the name of a package", hint="for example trust=[my_package]"
                )
            if name.partition(".")[0] in sys.stdlib_module_names:
                raise ConfigError(
                    f"trust: {name} is part of Python itself; to trust it is to let a configuration run any command",
                    hint="put what you need into a package of your own and trust that",
                )
        return cls(_TORCH + _LIGHTNING, names)

    @classmethod
    def archive(cls) -> Trust:
        """For what came inside a file: registered components and torch's own layers; nothing can extend it."""
        return cls(_TORCH, by_person=False)

    def resolve(self, target: object, registry: Registry, path: str = "") -> Target | Problem:
        """Return what a ``_target_`` means, or the problem why it is refused. Imports nothing.

        Args:
            target: The value of ``_target_``.
            registry: Where names of components are looked up.
            path: Where the node is, for the problem.
        """
        if not isinstance(target, str):
            return Problem(path, f"_target_ must be a name, not {target!r}", "name a component: nemo plugins list")
        component = registry.find(target)
        if component is not None:
            return Target(target, locate(component.import_path), component)
        dotted = target.replace(":", ".")
        if dotted.startswith("lightning.pytorch."):
            dotted = f"pytorch_{dotted.replace('.pytorch', '', 1)}"
        if "." not in dotted or not all(part.isidentifier() for part in dotted.split(".")):
            return self._refusal(target, registry, path)
        for family in self.families:
            if _inside(dotted, family.package):
                definition = locate(dotted)
                if definition and _inside(definition.module, family.package) and definition.derives_from(family.root):
                    return Target(target, definition, packages=(family.package,))
        if any(_inside(dotted, package) for package in self.packages):
            definition = locate(dotted)
            if definition is None or any(_inside(definition.module, package) for package in self.packages):
                return Target(target, definition, packages=self.packages)
        return self._refusal(target, registry, path)

    def _refusal(self, target: str, registry: Registry, path: str) -> Problem:
        names = [
            name for each in registry.components() if each.kind in BUILDABLE for name in (each.name, *each.aliases)
        ]
        question = did_you_mean(target, names)
        package = target.replace(":", ".").partition(".")[0]
        if question:
            advice = question
        elif not self.by_person:
            advice = "an archive can name registered components and torch's layers; install the plugin that it needs"
        elif package in _PARTLY:
            advice = f"of {package}, {_PARTLY[package]} can be named"
        elif package.isidentifier() and package not in sys.stdlib_module_names:
            advice = f"register it in a plugin, or, if the code is yours, add trust=[{package}]"
        else:
            advice = "name a registered component (nemo plugins list shows them) or register your own in a plugin"
        return Problem(path, f"_target_ {target} is not trusted", advice)


def _inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _import(path: str, name: str) -> Any:
    """Import ``package.module.Class``, taking as many leading parts for the module as there are modules."""
    parts = path.split(".")
    count = max((n for n in range(1, len(parts)) if find_module(".".join(parts[:n]))), default=1)
    try:
        found: Any = importlib.import_module(".".join(parts[:count]))
        for part in parts[count:]:
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"_target_ {name} cannot be imported: {error}", hint="check the name and the installation"
        ) from error
    return found
