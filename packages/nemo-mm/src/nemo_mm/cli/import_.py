"""``nemo mm import``: models from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.output import OverwriteOption

__all__ = ["hf"]


def hf(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder with config.json and safetensors files.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Archive (.nemo) to write.")],
    tokenizer: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Tokenizer, where the folder has none.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Take over a model of Hugging Face's transformers: CLIP, SigLIP.

    What it writes can be trained on (init_from=FILE) and asked (nemo mm classify, nemo mm retrieve). Pickled weights
    are not read.

    Example:
      nemo mm import hf ./clip-vit-base-patch32 -o clip.nemo
    """
    from nemo_core.cli.output import refuse_overwrite
    from nemo_mm.hf import import_hf

    refuse_overwrite(output, overwrite)
    model = import_hf(source, tokenizer=tokenizer)
    model.save(output, overwrite=overwrite)
    typer.echo(f"{output}: {type(model).__name__}, {sum(weight.numel() for weight in model.parameters()):,} weights")
