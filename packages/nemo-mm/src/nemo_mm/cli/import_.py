"""``nemo mm import`` and ``nemo mm export``: models from elsewhere, and for there."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from nemo_core.cli.output import OverwriteOption

__all__ = ["hf"]

#: ``model_type`` of a ``config.json`` -> what imports it, ``(source, output, *, dtype, overwrite)``.
IMPORTERS: dict[str, str] = {
    "clip": "nemo_mm.hf.convert:import_archive",
    "llava": "nemo_mm.hf.llava:import_llava",
    "siglip": "nemo_mm.hf.convert:import_archive",
}


def hf(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Folder with config.json and safetensors files.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="Model to write.")],
    dtype: Annotated[
        str | None, typer.Option(metavar="TYPE", help="fp32, bf16 or fp16; that of the files if not given.")
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="File or folder of the tokenizer of CLIP or SigLIP, if SOURCE has none."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Take over a multimodal model of Hugging Face's transformers: CLIP, SigLIP, LLaVA.

    LLaVA becomes a model folder (.dist), for nemo mm ask; CLIP and SigLIP an archive (.nemo), for nemo mm classify and
    retrieve. Pickled weights are not read.

    Example:
      nemo mm import hf ./llava-1.5-7b-hf -o llava.dist
      nemo mm import hf ./clip-vit-base-patch32 -o clip.nemo
    """
    from nemo_core.errors import ConfigError
    from nemo_llm.hf.config import read_config_json
    from nemo_llm.hf.convert import dtype_of

    kind = str(read_config_json(source).get("model_type"))
    if kind not in IMPORTERS:
        raise ConfigError(
            f"{source}: model_type is {kind}, which nemo mm does not know",
            hint=f"it knows {', '.join(sorted(IMPORTERS))}; language models alone: nemo llm import hf",
        )
    module, _, name = IMPORTERS[kind].partition(":")
    importer: Any = getattr(importlib.import_module(module), name)
    options: dict[str, Any] = {}
    if tokenizer is not None:
        if kind == "llava":
            raise ConfigError("--tokenizer is for CLIP and SigLIP", hint="put the tokenizer's files into the folder")
        options["tokenizer"] = tokenizer
    found = importer(source, output, dtype=dtype_of(dtype), overwrite=overwrite, **options)
    typer.echo(f"{output}: {found.family}, {found.num_parameters:,} weights")
