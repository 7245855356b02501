"""The registry: what is installed, by kind and name, without importing any of it."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partialmethod
from types import MappingProxyType
from typing import Any

from nemo_core.errors import ComponentNotFoundError, DuplicateComponentError, PluginError
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["BUILDABLE", "KINDS", "Component", "Registry"]

#: Every kind of component, and what one of it is.
KINDS: Mapping[str, str] = MappingProxyType(
    {
        "module": "neural module",
        "model": "model: what is trained, saved and restored",
        "model_builder": "function that builds a model from a few options",
        "dataset": "dataset or data module",
        "tokenizer": "tokenizer",
        "text_processor": "normaliser of text, or converter of text to sounds",
        "loss": "loss",
        "metric": "metric",
        "process": "process that turns data into noise, and back (diffusion, flow matching)",
        "augmentation": "augmentation of training data",
        "optimizer": "optimizer",
        "scheduler": "learning-rate scheduler",
        "callback": "Lightning callback",
        "strategy": "Lightning strategy: how several processes train together",
        "exporter": "writer of a foreign or deployment format",
        "checkpoint_format": "reader or writer of checkpoints",
        "recipes": "package of YAML recipes",
        "cli": "command of the command line",
        "pretrained": "published model of the catalogue",
    }
)

#: Kinds that a ``_target_`` can name. They share one namespace, so that a name means one thing wherever it stands.
BUILDABLE = frozenset(KINDS) - {"exporter", "checkpoint_format", "recipes", "cli", "pretrained"}


@dataclass(frozen=True)
class Component:
    """One entry of the registry.

    Attributes:
        kind: One of :data:`KINDS`.
        name: What configurations and command lines call it, such as ``asr.ConformerEncoder``.
        target: Where it is, ``package.module:attribute``; for a pretrained model its location.
        aliases: Other names it answers to, such as the import path that another framework's checkpoints use.
        summary: One line for people.
        distribution: Name of the installed distribution that registered it; None where code did so by hand.
        version: Version of that distribution.
        metadata: Whatever else the kind needs; see the methods of :class:`Registry`.
    """

    kind: str
    name: str
    target: str
    aliases: tuple[str, ...] = ()
    summary: str = ""
    distribution: str | None = None
    version: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def source(self) -> str:
        """Distribution and version, for messages."""
        return " ".join(part for part in (self.distribution, self.version) if part) or "this process"

    @property
    def import_path(self) -> str:
        """The target with dots only, as ``module`` and ``qualname`` of the object would spell it."""
        return self.target.replace(":", ".")

    def load(self) -> Any:
        """Import the component and return it.

        Raises:
            PluginError: It cannot be imported; the message names the distribution to blame.
        """
        if self.kind == "pretrained":
            raise PluginError(
                f"{self.name} is an entry of the catalogue of pretrained models, not code", hint="use nemo_core.restore"
            )
        module_name, _, attribute = self.target.partition(":")
        try:
            found: Any = importlib.import_module(module_name)
            for part in attribute.split(".") if attribute else ():
                found = getattr(found, part)
        except Exception as error:
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            ours = missing is None or module_name == missing or module_name.startswith(f"{missing}.")
            failure = PluginError(
                f"{self.kind} {self.name} of {self.source} cannot be loaded from {self.target}: "
                f"{type(error).__name__}: {error}",
                hint=f"this is for the authors of {self.distribution or self.target} to mend"
                if ours
                else f"install the package that provides the module {missing}",
            )
            failure.exit_code = 1
            raise failure from error
        return found


class Registry:
    """All components, by kind and name.

    Plugins fill it in their ``nemo_components`` hook, with :meth:`add` or the method named after the kind; everything
    else only reads. Nothing is imported until :meth:`Component.load`.

    >>> registry = Registry()
    >>> registry.loss("demo.Fraction", "fractions:Fraction", aliases=("other.Fraction",), summary="A rational number")
    >>> registry.find("other.Fraction").name, registry.find("fractions.Fraction").name
    ('demo.Fraction', 'demo.Fraction')
    >>> registry.get("loss", "demo.Fractoin")
    Traceback (most recent call last):
    nemo_core.errors.ComponentNotFoundError: no loss is called demo.Fractoin
      did you mean demo.Fraction?
    """

    def __init__(self) -> None:
        self._components: list[Component] = []
        self._names: dict[tuple[str, str], Component] = {}
        self._paths: dict[str, Component] = {}
        self._source: tuple[str | None, str | None] = (None, None)

    # -- registering

    def add(
        self, kind: str, name: str, target: str, *, aliases: tuple[str, ...] = (), summary: str = "", **metadata: Any
    ) -> None:
        """Register a component.

        Args:
            kind: One of :data:`KINDS`.
            name: Its name, ``<plugin>.<Class>`` by custom.
            target: ``package.module:attribute``; not imported now.
            aliases: Further names for it.
            summary: One line for people.
            metadata: Anything else worth knowing before the component is loaded. ``example``, a mapping of constructor
                arguments, lets :mod:`nemo_core.testing` build one (None: there is none to build by itself);
                ``example_sizes`` says how large inputs it needs, as ``NeuralModule.input_example`` takes it.

        Raises:
            DuplicateComponentError: A name or alias is taken.
            PluginError: The kind is unknown, or the name or target is not well formed.
        """
        if kind not in KINDS:
            raise PluginError(
                f"{self._who()} registers {name!r} under the unknown kind {kind!r}", hint=did_you_mean(kind, KINDS)
            )
        for each in (name, *aliases):
            if not isinstance(each, str) or not each.strip() or each != each.strip():
                raise PluginError(f"{self._who()} registers a {kind} under the name {each!r}", hint="give it a name")
        self._add(Component(kind, name, target, tuple(aliases), summary, *self._source, metadata))

    # One method for each kind, so that plugins read as prose: registry.module("asr.ConformerEncoder", ...).
    module = partialmethod(add, "module")
    model = partialmethod(add, "model")
    model_builder = partialmethod(add, "model_builder")
    dataset = partialmethod(add, "dataset")
    tokenizer = partialmethod(add, "tokenizer")
    text_processor = partialmethod(add, "text_processor")
    loss = partialmethod(add, "loss")
    metric = partialmethod(add, "metric")
    process = partialmethod(add, "process")
    augmentation = partialmethod(add, "augmentation")
    optimizer = partialmethod(add, "optimizer")
    scheduler = partialmethod(add, "scheduler")
    callback = partialmethod(add, "callback")
    strategy = partialmethod(add, "strategy")
    exporter = partialmethod(add, "exporter")
    checkpoint_format = partialmethod(add, "checkpoint_format")

    def recipes(self, package: str, *, prefix: str | None = None, summary: str = "") -> None:
        """Register a folder of recipes: ``<package>/<prefix>/<name>.yaml`` is the recipe ``<prefix>/<name>``.

        Args:
            package: Such as ``nemo_asr.conf``; a folder of the distribution, with or without ``__init__.py``.
            prefix: Folder in it, and first part of the names. Default: the first part of ``package`` less ``nemo_``.
            summary: One line for people.
        """
        prefix = prefix or package.partition(".")[0].removeprefix("nemo_")
        self.add("recipes", package, package, summary=summary, prefix=prefix)

    def command(self, name: str, target: str | None = None, *, summary: str) -> None:
        """Register a command of ``nemo``.

        Args:
            name: Words separated by blanks: ``"transcribe"``, ``"asr tokenizer train"``.
            target: A typer app or a function typed as typer wants it, imported when the command is used. Without
                one, the name is a group and ``summary`` is its help.
            summary: The line shown by ``--help`` of the group above; needs no import.
        """
        if name != " ".join(name.split()) or any(word.startswith("-") for word in name.split()):
            raise PluginError(f"{self._who()} registers a command called {name!r}", hint="separate words by one blank")
        self.add("cli", name, target or "", summary=summary)

    def pretrained(
        self,
        name: str,
        *,
        location: str,
        summary: str,
        license: str,
        model: str | None = None,
        languages: tuple[str, ...] = (),
        sha256: str | None = None,
        size: int | None = None,
        **metadata: Any,
    ) -> None:
        """Register a published model.

        Args:
            name: What ``nemo models pull`` and ``restore`` call it.
            location: ``https://...``, ``hf://owner/repo/file`` or a path.
            summary: One line for people.
            license: SPDX identifier of the weights' licence.
            model: Registry name of the model class.
            languages: BCP-47 tags.
            sha256: Digest of the archive, 64 hexadecimal digits.
            size: Bytes.
            metadata: Anything else.
        """
        described: dict[str, Any] = {
            "license": license,
            "model": model,
            "languages": tuple(languages),
            "sha256": sha256,
            "size": size,
        }
        self.add("pretrained", name, location, summary=summary, location=location, **described, **metadata)

    @contextlib.contextmanager
    def registering(self, distribution: str | None, version: str | None = None) -> Iterator[None]:
        """Attribute what is registered inside the block to ``distribution``; if the block fails, take it all back."""
        before, count = self._source, len(self._components)
        self._source = (distribution, version)
        try:
            yield
        except BaseException:
            kept = self._components[:count]
            self._components, self._names, self._paths = [], {}, {}
            for component in kept:
                self._add(component)
            raise
        finally:
            self._source = before

    # -- reading

    def components(self, kind: str | None = None) -> tuple[Component, ...]:
        """Return the components of one kind, or all, in the order of registration."""
        self._check_kind(kind)
        return tuple(each for each in self._components if kind is None or each.kind == kind)

    def get(self, kind: str, name: str) -> Component:
        """Return the component of that kind that has this name or alias.

        Raises:
            ComponentNotFoundError: There is none; the message has the nearest names.
        """
        self._check_kind(kind)
        found = self._names.get((_namespace(kind), name))
        if found is not None and found.kind == kind:
            return found
        if found is not None:
            raise ComponentNotFoundError(f"{name} is a {found.kind} of {found.source}, not a {kind}")
        names = [each.name for each in self.components(kind)]
        hint = did_you_mean(name, names) or (
            "`nemo plugins list` shows what is installed" if names else f"no installed plugin offers any {kind}"
        )
        raise ComponentNotFoundError(f"no {kind} is called {name}", hint=hint)

    def find(self, target: str) -> Component | None:
        """Return the buildable component with this name, alias or import path (``a.b.C`` or ``a.b:C``), or None."""
        return self._names.get((_namespace("module"), target)) or self._paths.get(target.replace(":", "."))

    def name_of(self, cls: type) -> str | None:
        """Return the name that ``cls`` is registered under, or None."""
        found = self._paths.get(f"{cls.__module__}.{cls.__qualname__}")
        if found is not None:
            return found.name
        # Registered by a module that merely re-exports it. Only modules already loaded can hold this very class.
        for component in self._components:
            module_name, _, attribute = component.target.partition(":")
            if component.kind not in BUILDABLE or attribute != cls.__qualname__:
                continue
            if vars(sys.modules.get(module_name, object)).get(attribute) is cls:
                return component.name
        return None

    # -- inside

    def _add(self, component: Component) -> None:
        namespace = _namespace(component.kind)
        for name in dict.fromkeys((component.name, *component.aliases)):
            taken = self._names.get((namespace, name))
            if taken is not None:
                raise DuplicateComponentError(
                    f"{component.source} and {taken.source} both register {name}: {component.kind} "
                    f"{component.target or '(group)'} and {taken.kind} {taken.target or '(group)'}",
                    hint="uninstall one of them, or choose with NEMO_PLUGINS=<names to load>",
                )
        for name in (component.name, *component.aliases):
            self._names[namespace, name] = component
        if component.kind in BUILDABLE:
            self._paths.setdefault(component.import_path, component)
        self._components.append(component)

    def _check_kind(self, kind: str | None) -> None:
        if kind is not None and kind not in KINDS:
            raise ComponentNotFoundError(f"no kind of component is called {kind}", hint=did_you_mean(kind, KINDS))

    def _who(self) -> str:
        return " ".join(part for part in self._source if part) or "this process"


def _namespace(kind: str) -> str:
    return "buildable" if kind in BUILDABLE else kind
