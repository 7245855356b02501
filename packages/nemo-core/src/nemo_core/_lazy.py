"""Lazy public names for package ``__init__`` modules (PEP 562), so that importing a package costs next to nothing.

A package lists its public names once, as imports that type checkers, editors and people read::

    from typing import TYPE_CHECKING

    from nemo_core._lazy import attach

    if TYPE_CHECKING:
        from nemo_core.errors import NemoError as NemoError

    __getattr__, __dir__ = attach(__name__)

At run time nothing is imported by that block; :func:`attach` reads it when a name is first asked for.
"""

from __future__ import annotations

import ast
import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["attach"]


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for ``package``; the first also answers for ``__all__``.

    Args:
        package: ``__name__`` of the calling package.

    Example:
        >>> __getattr__, __dir__ = attach("nemo_core")
        >>> __getattr__("NemoError").__name__
        'NemoError'
        >>> "NemoError" in __getattr__("__all__")
        True
    """

    @functools.cache
    def exports() -> Mapping[str, str]:
        return _read_exports(package)

    def __getattr__(name: str) -> Any:  # noqa: N807 - it becomes the package's own
        if name == "__all__":
            return sorted(exports())
        # Python itself asks packages for dunder names (__path__ hooks, doctest); they are never among the exports.
        module_name = None if name.startswith("__") else exports().get(name)
        if module_name is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(module_name), name)
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__, lambda: sorted({*vars(sys.modules[package]), *exports()})


def _read_exports(package: str) -> dict[str, str]:
    """Return name -> module from the ``if TYPE_CHECKING:`` block of the package's source."""
    spec = sys.modules[package].__spec__
    source = spec.loader.get_source(package) if spec is not None and spec.loader is not None else None  # type: ignore[attr-defined]
    found: dict[str, str] = {}
    for block in ast.parse(source or "").body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for statement in block.body:
                if isinstance(statement, ast.ImportFrom) and statement.module:
                    found.update((each.asname, statement.module) for each in statement.names if each.asname)
    return found
