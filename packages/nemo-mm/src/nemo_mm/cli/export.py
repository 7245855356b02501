"""``nemo mm export``: models for elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.output import OverwriteOption, print_problem

__all__ = ["hf"]


def hf(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Archive (.nemo) of a model, or the folder of a run.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write.")],
    overwrite: OverwriteOption = False,
) -> None:
    """Write a model as a folder that Hugging Face's transformers loads, with its tokenizer.

    Example:
      nemo mm export hf clip.nemo -o ./my-clip
    """
    from nemo_core.models import restore
    from nemo_mm.hf import export_hf

    inside = Path(source, "model.nemo")
    model = restore(str(inside) if inside.is_file() else source)
    for note in export_hf(model, output, overwrite=overwrite):
        print_problem("warning", note)
    typer.echo(f"{output}: {type(model).__name__}, {sum(weight.numel() for weight in model.parameters()):,} weights")
