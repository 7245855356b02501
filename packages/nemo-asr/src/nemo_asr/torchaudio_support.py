"""torchaudio, where it is installed: the whole of it, or at least what of it is plain Python.

Its wheel for Linux needs CUDA's libraries: beside a torch for the CPU ``import torchaudio`` raises OSError. Its plain
Python parts then work with a stand-in for ``torchaudio._extension``, which says that there are no compiled ones.
Nothing else of ours imports torchaudio.

Example:
    >>> parts() in (Parts.ALL, Parts.PYTHON, Parts.NONE)
    True
"""

from __future__ import annotations

import enum
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from nemo_core.errors import ConfigError

__all__ = ["Parts", "load", "parts"]


class Parts(enum.Enum):
    """What there is of torchaudio."""

    ALL = "all"
    PYTHON = "its plain Python parts"
    NONE = "nothing"


def parts() -> Parts:
    """Return what of torchaudio can be loaded here; the first call loads it."""
    found, _ = _load()
    return found


def load(extension: bool = False) -> ModuleType:
    """Return the package ``torchaudio``.

    Args:
        extension: Whether its compiled parts are needed.

    Raises:
        ConfigError: It is not installed, or its compiled parts are needed and cannot be loaded here.
    """
    found, package = _load()
    if package is None:
        raise ConfigError("torchaudio is not installed", hint="pip install 'nemo-asr[torchaudio]'")
    if extension and found is not Parts.ALL:
        raise ConfigError(
            f"torchaudio {package.__version__} has no compiled parts that load beside this torch",
            hint="its wheel for Linux needs a torch for CUDA, of the release that it was built for",
        )
    return package


@functools.cache
def _load() -> tuple[Parts, ModuleType | None]:
    if importlib.util.find_spec("torchaudio") is None:
        return Parts.NONE, None
    try:
        package = importlib.import_module("torchaudio")
    except (ImportError, OSError, RuntimeError):  # a library is missing, or it was built for another CUDA
        extension = _stand_in()
        sys.modules[extension.__name__] = extension
        try:
            package = importlib.import_module("torchaudio")
        except BaseException:
            del sys.modules[extension.__name__]
            raise
        package.__dict__["_extension"] = extension
    compiled = package.__dict__["_extension"].__dict__["_IS_TORCHAUDIO_EXT_AVAILABLE"]
    return Parts.ALL if compiled else Parts.PYTHON, package


def _stand_in() -> ModuleType:
    """Return what ``torchaudio._extension`` is in a build without compiled parts."""
    module = ModuleType("torchaudio._extension", "Stands in for compiled parts that cannot be loaded.")

    def fail_if_no_align(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def fail(*args: Any, **kwargs: Any) -> Any:
            raise ConfigError(f"torchaudio's {function.__name__} needs compiled parts, which cannot be loaded here")

        return fail

    attributes = {
        "_IS_TORCHAUDIO_EXT_AVAILABLE": False,
        "_IS_ALIGN_AVAILABLE": False,
        "_load_lib": lambda name: False,
        "fail_if_no_align": fail_if_no_align,
    }
    module.__dict__.update(attributes)
    return module
