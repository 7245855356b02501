"""``nemo llm merge`` and the commands that exchange adapters with the library peft."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nemo_core.cli.output import OverwriteOption, refuse_overwrite

if TYPE_CHECKING:
    from nemo_llm.peft.sources import AdapterSource

__all__ = ["export_peft", "import_peft", "merge"]

_Adapter = Annotated[
    Path, typer.Argument(metavar="ADAPTER", help="Folder of an adapter, ours or peft's, or of a run that trained one.")
]
_Base = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Its model, if it is no longer where the adapter says.")
]


def merge(
    adapter: _Adapter,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Model folder to write.")],
    base: _Base = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="TYPE", help="fp32, bf16 or fp16; that of the model if not given.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Add an adapter to the weights of its model, and write the whole as a model folder.

    Example:
      nemo llm merge runs/sft/latest -o merged.dist && nemo llm export hf merged.dist -o merged/
    """
    from nemo_llm.megatron.checkpoint import save_model_folder
    from nemo_llm.peft import merge as add

    refuse_overwrite(output, overwrite)
    with _Adapted(adapter, base, dtype) as model:
        add(model.chunks)
        save_model_folder(
            output, model.chunks, model.source.config, tokenizer=model.source.tokenizer, overwrite=overwrite
        )
    typer.echo(f"{output}: {model.source.path} with {model.adapter.folder}")


def export_peft(
    adapter: _Adapter,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write.")],
    base: _Base = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write an adapter as the library peft of Hugging Face loads it.

    Example:
      nemo llm export peft runs/sft/latest -o my-adapter/
    """
    from nemo_llm.peft import export_peft as write

    refuse_overwrite(output, overwrite)
    with _Adapted(adapter, base, None) as model:
        theirs = model.source.path if (model.source.path / "config.json").is_file() else None
        write(model.chunks, output, base=theirs, overwrite=overwrite)
    typer.echo(f"{output}: the adapter of {model.adapter.folder}")


def import_peft(
    adapter: Annotated[Path, typer.Argument(metavar="FOLDER", help="As a PeftModel's save_pretrained writes it.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write.")],
    base: _Base = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Take over an adapter of the library peft of Hugging Face.

    Example:
      nemo llm import peft downloads/adapter -o adapter/ --base llama.dist
    """
    from nemo_llm.peft import save_adapter

    refuse_overwrite(output, overwrite)
    with _Adapted(adapter, base, None) as model:
        save_adapter(output, model.chunks, base=model.source.path, config=model.source.config, overwrite=overwrite)
    typer.echo(f"{output}: the adapter of {adapter}")


class _Adapted:
    """A model with an adapter, while the engine runs.

    Attributes:
        adapter: Where the adapter is.
        source: Where the model is.
        chunks: The model.
    """

    def __init__(self, adapter: Path, base: Path | None, dtype: str | None) -> None:
        from nemo_core.errors import ConfigError
        from nemo_llm.models.sources import read_source
        from nemo_llm.peft.sources import find_adapter

        found = find_adapter(adapter)
        if found is None:
            raise ConfigError(
                f"{adapter} is no adapter", hint="give the folder `adapter` of a run, or one that peft has written"
            )
        self.adapter: AdapterSource = found
        self.source = read_source(found.base_folder(base))
        self._dtype = dtype
        self.chunks: list[Any] = []

    def __enter__(self) -> _Adapted:
        from nemo_llm.hf.convert import dtype_of
        from nemo_llm.megatron import start_engine
        from nemo_llm.models import build_chunks
        from nemo_llm.models.sources import load_source

        start_engine()
        try:
            dtype = dtype_of(self._dtype) or self._stored()
            self.chunks = list(build_chunks(self.source.config, dtype=dtype, seed=None))
            load_source(self.source.path, self.chunks, self.source.config)
            self.adapter.put_on(self.chunks, self.source.config)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _stored(self) -> Any:
        """Return the type of the model's weights as they lie there."""
        from nemo_llm.hf import check_hf
        from nemo_llm.hf.convert import stored_dtype

        path = self.source.path
        return stored_dtype(path) if (path / "manifest.json").is_file() else check_hf(path)[1]

    def __exit__(self, *_: object) -> None:
        from nemo_llm.megatron import stop_engine

        stop_engine()
