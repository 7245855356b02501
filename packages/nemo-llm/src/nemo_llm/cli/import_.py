"""``nemo llm import``: models from elsewhere as model folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.output import OverwriteOption

__all__ = ["hf"]


def hf(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder with config.json and safetensors files.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Model folder to write.")],
    dtype: Annotated[
        str | None, typer.Option(metavar="TYPE", help="fp32, bf16 or fp16; that of the files if not given.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Take over a model of Hugging Face's transformers, with its tokenizer.

    What it writes can be trained on (init_from=FOLDER), in any layout, and generated with. Pickled weights are not
    read.

    Example:
      nemo llm import hf ./Llama-3.2-1B -o llama.dist
    """
    from nemo_llm.hf.convert import dtype_of, import_hf

    config = import_hf(source, output, dtype=dtype_of(dtype), overwrite=overwrite)
    typer.echo(f"{output}: {config.family}, {config.num_parameters:,} weights")
