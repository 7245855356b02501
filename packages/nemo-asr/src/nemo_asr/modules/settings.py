"""Reading the settings that stand together in a mapping of their own, as NVIDIA's configurations have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["REQUIRED", "read_settings"]

REQUIRED: Any = object()
"""In place of a default: the setting must be given."""


def read_settings(given: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return ``given`` with the ``defaults`` of what is not given.

    Args:
        given: Settings by name.
        defaults: Every setting there is, and its default or :data:`REQUIRED`.
        where: What the settings belong to, for messages.

    Raises:
        ConfigError: A setting is not known, or one that is required is missing.

    Example:
        >>> read_settings({"dropout": 0.2}, {"dropout": 0.0, "layers": 1}, "prednet")
        {'dropout': 0.2, 'layers': 1}
    """
    for key in given:
        if key not in defaults:
            hint = did_you_mean(str(key), defaults) or f"one of {', '.join(defaults)}"
            raise ConfigError(f"{where}.{key} is not a setting", hint=hint)
    missing = [key for key, default in defaults.items() if default is REQUIRED and given.get(key) is None]
    if missing:
        raise ConfigError(f"{where}: {', '.join(missing)} is missing")
    return {**defaults, **given}
