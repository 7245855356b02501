"""``nemo export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.output import OverwriteOption, progress, refuse_overwrite

__all__ = ["export"]


def _formats() -> list[str]:
    from nemo_core.plugins import registry

    return [component.name for component in registry().components("exporter")]


def export(
    model: Annotated[str, typer.Argument(help="Model archive (.nemo), or name of a published model.")],
    format: Annotated[
        # The module is imported when the command is used, and then plugins are loaded already.
        str, typer.Option(metavar="FORMAT", help=f"One of: {', '.join(_formats())}.", autocompletion=_formats)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the model first; repeatable."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a model in a format of others.

    Settings that the format cannot express are refused by name; --set can give them a value that it can.

    Example:
      nemo export model.nemo --format nvidia-nemo -o for_nvidia.nemo
    """
    from nemo_core.plugins import registry

    registry().get("exporter", format)
    refuse_overwrite(output, overwrite)

    from nemo_core.models import export as write
    from nemo_core.models import restore

    with progress("Exporting", total=2, unit="steps") as advance:
        restored = restore(model, override_config=changes)
        advance(1)
        path = write(restored, output, format, overwrite=overwrite)
        advance(1)
    typer.echo(f"{path}: {format}, {path.stat().st_size / 1e6:.1f} MB")
