"""Lazy public names for package ``__init__`` modules (PEP 562), so that importing a package costs next to nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["attach"]


def attach(package: str, exports: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` for ``package``.

    Args:
        package: ``__name__`` of the calling package.
        exports: Public name -> module that defines it (absolute, or relative to ``package`` with a leading dot).

    Example:
        >>> __getattr__, __dir__, __all__ = attach("nemo_core", {"NemoError": ".errors"})
        >>> __getattr__("NemoError").__name__
        'NemoError'
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - it becomes the package's own
        module_name = exports.get(name)
        if module_name is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(module_name, package)
        value = getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    names = sorted(exports)
    return __getattr__, lambda: names, names
