"""``nemo mm export``: models for elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.output import OverwriteOption

__all__ = ["hf"]


def hf(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A model folder, a checkpoint, or a run's folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write.")],
    dtype: Annotated[
        str | None, typer.Option(metavar="TYPE", help="fp32, bf16 or fp16; that of the model if not given.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a vision-language model as a folder that Hugging Face's transformers loads as LLaVA, with its tokenizer.

    Example:
      nemo mm export hf llava.dist -o ./my-llava
    """
    from nemo_llm.hf.convert import dtype_of
    from nemo_mm.hf.llava import export_llava

    config = export_llava(source, output, dtype=dtype_of(dtype), overwrite=overwrite)
    typer.echo(f"{output}: {config.family}, {config.num_parameters:,} weights")
