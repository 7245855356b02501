"""A model from a folder, ready to generate."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_llm.generation.decoder import Decoder
    from nemo_llm.megatron import Layout
    from nemo_llm.models.config import ModelConfig
    from nemo_llm.peft.sources import AdapterSource
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["LoadedModel", "can_afford", "load_for_generation", "type_of"]

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class LoadedModel:
    """A model with its weights; a context manager that stops the engine if loading has started it.

    Attributes:
        chunks: This process's parts.
        config: The architecture.
        tokenizer: The model's own, if it has one.
        source: Folder of the weights.
        adapter: Folder of the adapter that was merged into them, if any.
        pack: Whether weights are laid out a second time for few rows, from the first text on.
    """

    chunks: list[Any]
    config: ModelConfig
    tokenizer: Tokenizer | None
    source: Path
    adapter: Path | None = None
    pack: bool = False
    _decoder: Decoder | None = field(default=None, repr=False)
    _started: bool = field(default=False, repr=False)

    def __enter__(self) -> LoadedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def decoder(self) -> Decoder:
        """Return what computes the next token; its weights are those at the first call."""
        if self._decoder is None:
            from nemo_llm.generation.decoder import Decoder

            self._decoder = Decoder(self.chunks, self.config, pack=self.pack)
        return self._decoder

    def close(self) -> None:
        """Stop the engine, if loading has started it."""
        self._decoder = None
        if self._started:
            from nemo_llm.megatron import stop_engine

            self._started = False
            stop_engine()


def load_for_generation(
    path: str | Path,
    *,
    layout: Layout | None = None,
    dtype: torch.dtype | str | None = None,
    adapter: str | Path | None = None,
    tokenizer: str | Path | None = None,
    pack: bool | None = None,
) -> LoadedModel:
    """Load a model from where it lies.

    Args:
        path: A model folder (``model.dist``), a checkpoint, the folder of a run (its model, else its best checkpoint,
            else its last), a folder of Hugging Face, or an adapter (or a run that trained one), which is loaded with
            its model.
        layout: How it is divided among processes; if the engine does not run, it is started so.
        dtype: What weights are computed in: float32 on a CPU, bfloat16 on a GPU, if not given.
        adapter: Folder of an adapter to merge into the weights, ours or of the library peft.
        tokenizer: Folder of a tokenizer, instead of the model's own.
        pack: Lay weights on a CPU out a second time, which makes steps of several rows faster for twice the memory;
            None: if the copy fits into half of the memory that is free.

    Raises:
        ConfigError: There is no model, or its tokenizer is another model's.
        ArchiveError: A file is damaged.

    Example:
        >>> with load_for_generation("runs/tiny_shakespeare/latest") as model:  # doctest: +SKIP
        ...     print(generate(model, ["KING RICHARD:"], seed=1)[0].text)
    """
    from nemo_llm.megatron import engine_running, start_engine
    from nemo_llm.models.sources import read_source
    from nemo_llm.peft.sources import find_adapter

    found = find_adapter(path if adapter is None else adapter)
    if found is not None:
        path = found.base_folder(path if adapter is not None else None)
    elif adapter is not None:
        raise ConfigError(f"{adapter} is no adapter", hint="give the folder `adapter` of a run, or one of peft's")
    path = Path(path)
    source = read_source(path)
    found_tokenizer = _tokenizer(tokenizer if tokenizer is not None else source.tokenizer, source.config)
    started = not engine_running()
    if started:
        start_engine(layout)
    try:
        chunks = _build(source, layout, type_of(dtype), found)
    except BaseException:
        if started:
            from nemo_llm.megatron import stop_engine

            stop_engine()
        raise
    return LoadedModel(
        chunks,
        source.config,
        found_tokenizer,
        source.path,
        adapter=None if found is None else found.folder,
        pack=can_afford(chunks) if pack is None else pack,
        _started=started,
    )


def _build(source: Any, layout: Layout | None, dtype: torch.dtype, adapter: AdapterSource | None) -> list[Any]:
    from nemo_llm.models import build_chunks
    from nemo_llm.models.config import ModelConfig
    from nemo_llm.models.sources import load_source

    if not isinstance(source.config, ModelConfig):
        raise ConfigError(
            f"{source.path} is no decoder-only language model: {type(source.config).__name__}",
            hint="text is generated by the families of GPT: `nemo components list model_builder`",
        )
    chunks: list[Any] = list(build_chunks(source.config, layout, dtype, seed=None))
    load_source(source.path, chunks, source.config)
    if adapter is not None:
        from nemo_llm.peft import merge

        adapter.put_on(chunks, source.config)
        merge(chunks)
    return [chunk.eval().requires_grad_(False) for chunk in chunks]


def can_afford(chunks: list[Any]) -> bool:
    """Return whether a second copy of the weights fits into half of the free memory."""
    import psutil

    weights = [parameter for chunk in chunks for parameter in chunk.parameters()]
    return sum(each.numel() * each.element_size() for each in weights) <= psutil.virtual_memory().available / 2


def _tokenizer(folder: str | Path | None, config: Any) -> Tokenizer | None:
    """Return the tokenizer in a folder; None where a model has none."""
    if folder is None:
        return None
    from nemo_llm.tokenizers import check_vocab, load_tokenizer

    try:
        found = load_tokenizer(folder)
    except ConfigError:
        if _has_none(Path(folder)):
            return None
        raise
    check_vocab(found, config.vocab_size)
    return found


def _has_none(folder: Path) -> bool:
    """Whether a folder is a model's, with no file of a tokenizer."""
    return (folder / "config.json").is_file() and not any(
        True for pattern in ("tokenizer*", "vocab*", "*.tiktoken") for _ in folder.glob(pattern)
    )


def type_of(given: torch.dtype | str | None) -> torch.dtype:
    """Return what weights are computed in: float32 on a CPU, bfloat16 on a GPU, if nothing is given."""
    if given is None:
        return torch.bfloat16 if torch.cuda.is_available() else torch.float32
    if isinstance(given, torch.dtype):
        return given
    if given not in _TYPES:
        raise ConfigError(f"dtype {given!r} is not known", hint=f"give {', '.join(_TYPES)}")
    return _TYPES[given]
