"""Find and read definitions in source files, without importing them.

Whether a name means a class of an allowed package, and what its constructor takes, has to be known before anything is
imported: for safety, because importing is running, and for speed, because importing torch takes seconds.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import os
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = ["Definition", "find_module", "locate", "module_folders"]

_HOPS = 16  # Longest chain of re-exports that is followed; real ones have two or three.


@dataclass(frozen=True)
class Definition:
    """A class or function as its source defines it.

    Attributes:
        module: Dotted name of the module that holds the definition.
        name: Its name there.
        file: The source file.
        node: The syntax tree of the definition.
    """

    module: str
    name: str
    file: Path
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def path(self) -> str:
        """``module.name``."""
        return f"{self.module}.{self.name}"

    def bases(self) -> Iterator[Definition | None]:
        """Yield the definitions of the base classes; None for each that source does not tell."""
        if isinstance(self.node, ast.ClassDef):
            for base in self.node.bases:
                expression = base.value if isinstance(base, ast.Subscript) else base
                yield _evaluate(self.module, expression, _HOPS)

    def derives_from(self, path: str) -> bool:
        """Whether this is the class ``path`` or derives from it, as far as source tells."""
        return any(ancestor.path == path for ancestor in self._ancestors(_HOPS))

    def _ancestors(self, depth: int) -> Iterator[Definition]:
        yield self
        if depth:
            for base in self.bases():
                if base is not None:
                    yield from base._ancestors(depth - 1)


def find_module(name: str) -> importlib.machinery.ModuleSpec | None:
    """Return the spec of a module, importing neither it nor the packages it is in.

    >>> find_module("xml.dom.minidom").origin.endswith("minidom.py")
    True
    >>> find_module("xml.nowhere") is None
    True
    """
    first, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except (ImportError, ValueError):  # ValueError: a module made by hand, such as __main__, has no spec
        return None
    full_name = first
    for part in rest:
        full_name = f"{full_name}.{part}"
        spec = _find_in(full_name, list(spec.submodule_search_locations or ())) if spec else None
    return spec


def _find_in(full_name: str, folders: list[str]) -> importlib.machinery.ModuleSpec | None:
    portions: list[str] = []
    for folder in folders:
        finder = pkgutil.get_importer(folder)
        found = finder.find_spec(full_name) if finder is not None else None
        if found is not None and found.loader is not None:
            return found
        portions += (found.submodule_search_locations or ()) if found else ()
    if not portions:
        return None
    namespace = importlib.machinery.ModuleSpec(full_name, None, is_package=True)
    namespace.submodule_search_locations = portions  # folders without __init__.py
    return namespace


def module_folders(name: str) -> list[Path]:
    """Return the folders of a package on disk, with or without ``__init__.py``; empty if there is no such package."""
    spec = find_module(name)
    return [Path(each) for each in (spec.submodule_search_locations or ())] if spec else []


def locate(path: str) -> Definition | None:
    """Return the class or function that ``package.module.Name`` (or ``package.module:Name``) means.

    Re-exports are followed. None where the name does not exist, is something else than a class or a function, or where
    source does not tell (compiled modules, names made at run time).

    >>> locate("json.JSONDecoder").module
    'json.decoder'
    >>> locate("json.decoder.re.compile") is None  # reachable by attributes, but not defined or exported there
    True
    """
    module, _, name = path.replace(":", ".").rpartition(".")
    return _lookup(module, name, _HOPS) if module else None


def _lookup(module: str, name: str, hops: int) -> Definition | None:
    if hops == 0 or name.startswith("__"):
        return None
    file, tree = _parse_module(module)
    if file is None or tree is None:
        return None
    stars: list[str] = []
    for node in _statements(tree.body):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
            return Definition(module, name, file, node)
        if isinstance(node, ast.ImportFrom):
            source = _absolute(module, file, node)
            for alias in node.names:
                if alias.name == "*":
                    stars.append(source)
                elif (alias.asname or alias.name) == name and source != module:
                    return _lookup(source, alias.name, hops - 1)
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return _evaluate(module, node.value, hops - 1)
    if not name.startswith("_"):
        for source in stars:
            found = _lookup(source, name, hops - 1)
            if found is not None:
                return found
    return None


def _evaluate(module: str, expression: ast.expr, hops: int) -> Definition | None:
    """Follow ``Name`` or ``package.module.Name`` as an expression inside ``module``."""
    if isinstance(expression, ast.Name):
        return _lookup(module, expression.id, hops)
    if isinstance(expression, ast.Attribute):
        owner = _module_of(module, expression.value)
        return _lookup(owner, expression.attr, hops - 1) if owner and hops else None
    return None


def _module_of(module: str, expression: ast.expr) -> str | None:
    """Return the module that an expression such as ``nn`` or ``torch.nn`` means inside ``module``."""
    if isinstance(expression, ast.Attribute):
        owner = _module_of(module, expression.value)
        return f"{owner}.{expression.attr}" if owner else None
    if not isinstance(expression, ast.Name):
        return None
    file, tree = _parse_module(module)
    if file is None or tree is None:
        return None
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname == expression.id:
                    return alias.name
                if alias.asname is None and alias.name.partition(".")[0] == expression.id:
                    return expression.id
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == expression.id:
                    return f"{_absolute(module, file, node)}.{alias.name}"
    return None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run at import, with those inside ``if``, ``try`` and ``with``."""
    for node in body:
        yield node
        for field in ("body", "orelse", "finalbody"):
            if isinstance(node, (ast.If, ast.Try, ast.With)):
                yield from _statements(getattr(node, field, []))
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                yield from _statements(handler.body)


def _absolute(module: str, file: Path, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    # Inside a package's own __init__ one dot means the package itself.
    keep = len(parts) - node.level + (1 if file.name == "__init__.py" else 0)
    return ".".join([*parts[: max(keep, 0)], *([node.module] if node.module else [])])


def _parse_module(name: str) -> tuple[Path | None, ast.Module | None]:
    spec = find_module(name) if name else None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None, None
    try:
        return Path(spec.origin), _parse(spec.origin, os.stat(spec.origin).st_mtime_ns)
    except (OSError, SyntaxError, ValueError):
        return None, None


@lru_cache(maxsize=512)
def _parse(file: str, mtime_ns: int) -> ast.Module:
    with open(file, "rb") as stream:
        return ast.parse(stream.read(), filename=file)
