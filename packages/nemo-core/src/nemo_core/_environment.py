"""Switches in environment variables, all read the same way."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["is_on"]


def is_on(name: str, environ: Mapping[str, str] | None = None, *, default: bool = False) -> bool:
    """Return whether an environment variable switches something on.

    Args:
        name: The variable.
        environ: Where to look; the process's environment if not given.
        default: What it is when the variable is unset or empty.

    >>> [is_on("NEMO_OFFLINE", {"NEMO_OFFLINE": value}) for value in ("1", "yes", "0", "Off", "")]
    [True, True, False, False, False]
    >>> is_on("NEMO_TYPED", {}, default=True)
    True
    """
    value = (os.environ if environ is None else environ).get(name, "").strip().lower()
    return value not in ("0", "false", "no", "off") if value else default
