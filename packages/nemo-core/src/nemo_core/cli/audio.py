"""What commands that read audio share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["BatchSizeOption", "ChannelOption", "channel_of"]

BatchSizeOption = Annotated[int, typer.Option(min=1, metavar="N", help="Audios that are taken together.")]
ChannelOption = Annotated[
    str | None, typer.Option(metavar="N|average", help="Channel of audio that has several: a number, or average.")
]


def channel_of(given: str | None) -> int | str | None:
    """Return the channel that an option names.

    Example:
        >>> channel_of("1"), channel_of("average"), channel_of(None)
        (1, 'average', None)
    """
    return int(given) if given is not None and given.isdigit() else given
