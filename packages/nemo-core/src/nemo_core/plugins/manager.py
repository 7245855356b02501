"""Finding and loading plugins.

Environment variables:

- ``NEMO_PLUGINS=a,b``: load only these (entry-point or distribution names) beside nemo-core; empty: none.
- ``NEMO_STRICT_PLUGINS=1``: a plugin that cannot be loaded is an error instead of a warning.
- ``NEMO_TRACE_PLUGINS=1``: say on stderr what was loaded, from where, and how long it took.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from nemo_core._environment import is_on
from nemo_core.errors import DuplicateComponentError, NemoError, PluginError
from nemo_core.plugins import hookspecs
from nemo_core.plugins.components import Registry
from nemo_core.plugins.nearest import did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "PluginInfo", "PluginWarning", "Plugins", "load_plugins", "plugin_manager", "plugins", "registry"]

#: The entry-point group that plugins are found by.
GROUP = "nemo.plugins"

_CORE = "nemo-core"


class PluginWarning(UserWarning):
    """An installed plugin could not be loaded; the rest goes on without it."""


@dataclass(frozen=True)
class PluginInfo:
    """What is known about one installed plugin.

    Attributes:
        name: Name of its entry point.
        module: Module that the entry point names.
        distribution: Distribution that it came with.
        version: Version of that distribution.
        seconds: What importing the module and registering its components took.
        components: Number of components registered, by kind.
        hooks: Names of the hooks it implements.
        location: File of the module, if it could be imported.
        error: Why it could not be loaded; None if it was.
    """

    name: str
    module: str
    distribution: str
    version: str
    seconds: float = 0.0
    components: Mapping[str, int] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()
    location: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Plugins:
    """The loaded plugins: pluggy's manager to call hooks with, the registry they filled, a record of each."""

    manager: pluggy.PluginManager
    registry: Registry
    infos: tuple[PluginInfo, ...]

    def info(self, name: str) -> PluginInfo:
        """Return the record of a plugin, by the name of its entry point or of its distribution.

        Raises:
            PluginError: No such plugin is loaded.
        """
        for info in self.infos:
            if _normal(name) in (_normal(info.name), _normal(info.distribution)):
                return info
        known = [info.distribution for info in self.infos]
        raise PluginError(
            f"no plugin called {name} is loaded",
            hint=did_you_mean(name, known) or f"`nemo plugins list` shows all: {', '.join(known)}",
        )

    def call(self, hook: str, **arguments: Any) -> list[Any]:
        """Call a hook on all plugins and return their results in one list.

        Raises:
            PluginError: An implementation raised; the message names its plugin.
        """
        caller = getattr(self.manager.hook, hook)
        try:
            return [each for result in caller(**arguments) if result is not None for each in result]
        except NemoError:
            raise
        except Exception as error:
            owners = {impl.function.__code__: impl.plugin_name for impl in caller.get_hookimpls()}
            frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
            owner = next((owners[code] for code in frames if code in owners), "a plugin")
            failure = PluginError(f"hook {hook} of {owner} failed: {type(error).__name__}: {error}")
            failure.exit_code = 1
            raise failure from error


@functools.cache
def plugins() -> Plugins:
    """Load all plugins that are installed and switched on; once per process."""
    return load_plugins()


def plugin_manager() -> pluggy.PluginManager:
    """Return the process-wide plugin manager, whose ``hook`` calls hooks on all plugins."""
    return plugins().manager


def registry() -> Registry:
    """Return the process-wide registry, filled by all plugins.

    >>> registry().get("cli", "doctor").distribution
    'nemo-core'
    """
    return plugins().registry


def load_plugins(environ: Mapping[str, str] | None = None, entry_points: Iterable[EntryPoint] | None = None) -> Plugins:
    """Load plugins into a new manager and a new registry.

    Args:
        environ: Where the switches above are read from; the process's environment if not given.
        entry_points: The plugins; by default those of the installed distributions.

    Raises:
        PluginError: ``NEMO_PLUGINS`` names a plugin that is not installed, or strict loading met a broken one.
        DuplicateComponentError: Two plugins claim one name.
    """
    environ = os.environ if environ is None else environ
    manager = pluggy.PluginManager(hookspecs.NAMESPACE)
    manager.add_hookspecs(hookspecs)
    components = Registry()
    # A historic hook: each plugin that is registered from now on, here or by hand, gets the call at once.
    manager.hook.nemo_components.call_historic(kwargs={"registry": components})

    if entry_points is None:
        import importlib.metadata  # as slow as all the rest of this module

        entry_points = importlib.metadata.entry_points(group=GROUP)
    strict, trace = is_on("NEMO_STRICT_PLUGINS", environ), is_on("NEMO_TRACE_PLUGINS", environ)
    infos = []
    for found in _chosen([_Found.of(each) for each in entry_points], environ.get("NEMO_PLUGINS")):
        info, failure = _load(found, manager, components)
        infos.append(info)
        if trace:
            print(_trace_line(info), file=sys.stderr)
        if failure is None:
            continue
        if strict or found.is_core or isinstance(failure, DuplicateComponentError):
            raise failure
        warnings.warn(f"{failure.message}; going on without it", PluginWarning, stacklevel=2)
    return Plugins(manager, components, tuple(infos))


@dataclass(frozen=True)
class _Found:
    """An entry point, with what its distribution's metadata says, read once."""

    name: str
    module: str
    distribution: str
    version: str

    @classmethod
    def of(cls, entry_point: EntryPoint) -> _Found:
        # Distribution.name and .version would each parse the METADATA file anew.
        try:
            metadata: Any = entry_point.dist.metadata if entry_point.dist is not None else {}
        except Exception:  # a damaged installation: the file is missing or is no text
            metadata = {}
        name, version = (metadata.get(key, "unknown") for key in ("Name", "Version"))
        return cls(entry_point.name, entry_point.value, name, version)

    @property
    def is_core(self) -> bool:
        return _normal(self.distribution) == _CORE

    def answers_to(self, name: str) -> bool:
        return _normal(name) in (_normal(self.name), _normal(self.distribution))


def _chosen(found: list[_Found], wanted: str | None) -> list[_Found]:
    """Nemo-core first and always, then the others by name, as far as ``NEMO_PLUGINS`` lets them."""
    found = sorted(found, key=lambda each: (not each.is_core, _normal(each.distribution), each.name))
    if wanted is None:
        return found
    names = [name for name in (part.strip() for part in wanted.split(",")) if name]
    for name in names:
        if not any(each.answers_to(name) for each in found):
            known = [each.distribution for each in found]
            raise PluginError(
                f"NEMO_PLUGINS names {name}, which is not installed",
                hint=did_you_mean(name, known) or f"installed: {', '.join(known)}",
            )
    return [each for each in found if each.is_core or any(each.answers_to(name) for name in names)]


def _load(found: _Found, manager: pluggy.PluginManager, components: Registry) -> tuple[PluginInfo, PluginError | None]:
    """Import one plugin and register it; on failure leave no trace of it."""
    start = time.perf_counter()
    before = len(components.components())
    module: ModuleType | None = None
    hooks: tuple[str, ...] = ()
    failure: PluginError | None = None
    try:
        with components.registering(found.distribution, found.version):
            module = importlib.import_module(found.module)
            manager.register(module, name=found.distribution + ":" + found.name)
            hooks = tuple(caller.name for caller in manager.get_hookcallers(module) or ())
            _refuse_unknown_hooks(manager, module)
    except DuplicateComponentError as error:
        failure = error
    except (Exception, SystemExit) as error:
        what = error.message if isinstance(error, NemoError) else f"{type(error).__name__}: {error}"
        failure = PluginError(
            f"plugin {found.name} of {found.distribution} {found.version} ({found.module}) cannot be loaded: {what}",
            hint=f"update or uninstall {found.distribution}, or leave it out with NEMO_PLUGINS=<names to load>",
        )
        failure.__cause__ = error
    if failure is not None and module is not None and manager.is_registered(module):
        manager.unregister(module)
    info = PluginInfo(
        found.name,
        found.module,
        found.distribution,
        found.version,
        seconds=time.perf_counter() - start,
        components=dict(Counter(each.kind for each in components.components()[before:])),
        hooks=hooks,
        location=getattr(module, "__file__", None),
        error=failure.message if failure else None,
    )
    return info, failure


def _refuse_unknown_hooks(manager: pluggy.PluginManager, module: ModuleType) -> None:
    for caller in manager.get_hookcallers(module) or ():
        if caller.has_spec():
            continue
        if any(impl.plugin is module and not impl.optionalhook for impl in caller.get_hookimpls()):
            known = [name for name in vars(hookspecs) if name.startswith("nemo_")]
            hint = did_you_mean(caller.name, known) or f"the hooks are {', '.join(known)}"
            raise PluginError(f"it implements {caller.name}, which is not a hook ({hint})")


def _trace_line(info: PluginInfo) -> str:
    counts = ", ".join(f"{kind} {count}" for kind, count in info.components.items()) or "no components"
    outcome = f"failed: {info.error}" if info.error else counts
    return (
        f"nemo plugins: {info.distribution} {info.version} ({info.module} from {info.location or 'nowhere'}) "
        f"in {1000 * info.seconds:.1f} ms: {outcome}"
    )


def _normal(name: str) -> str:
    """The normal form of a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
