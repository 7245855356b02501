"""``nemo llm export``: models for elsewhere."""

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
    max_shard_size: Annotated[str, typer.Option(metavar="SIZE", help="Largest file, as 5GB or 500MB.")] = "5GB",
    overwrite: OverwriteOption = False,
) -> None:
    """Write a model as a folder that Hugging Face's transformers loads, with its tokenizer.

    Example:
      nemo llm export hf runs/llama/latest -o ./my-model --dtype bf16
    """
    from nemo_llm.hf.convert import dtype_of, export_hf

    config = export_hf(source, output, dtype=dtype_of(dtype), max_shard_size=max_shard_size, overwrite=overwrite)
    typer.echo(f"{output}: {config.family}, {config.num_parameters:,} weights")
