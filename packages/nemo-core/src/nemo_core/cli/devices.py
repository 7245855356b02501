"""The option that says where models compute."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["DeviceOption", "device_of"]

DeviceOption = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, ...")]


def device_of(given: str) -> str:
    """Return the device that an option names; for ``auto`` a GPU where there is one.

    Example:
        >>> device_of("cuda:1")
        'cuda:1'
    """
    if given != "auto":
        return given
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
