"""``nemo mm export``: models for elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nemo_core.cli.output import OverwriteOption, print_problem

__all__ = ["hf"]


def hf(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A model folder, a checkpoint, or a run's folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write.")],
    dtype: Annotated[
        str | None, typer.Option(metavar="TYPE", help="fp32, bf16 or fp16; that of the model if not given.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write a model as a folder that Hugging Face's transformers loads, with its tokenizer.

    Vision-language models become LLaVA, contrastive models (.nemo) CLIP or SigLIP.

    Example:
      nemo mm export hf llava.dist -o ./my-llava
      nemo mm export hf clip.nemo -o ./my-clip
    """
    from nemo_llm.hf.convert import dtype_of
    from nemo_mm.hf.convert import archive_in, export_archive
    from nemo_mm.hf.llava import export_llava

    archive = archive_in(source)
    if archive is not None:
        weights, notes = export_archive(archive, output, dtype=dtype_of(dtype), overwrite=overwrite)
        for note in notes:
            print_problem("warning", note)
        typer.echo(f"{output}: {weights:,} weights")
        return
    config = export_llava(source, output, dtype=dtype_of(dtype), overwrite=overwrite)
    typer.echo(f"{output}: {config.family}, {config.num_parameters:,} weights")
