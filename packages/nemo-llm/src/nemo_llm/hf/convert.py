"""Model folders of ``transformers`` into model folders of ours, and back."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from nemo_core.cli.output import progress, refuse_overwrite
from nemo_core.errors import ConfigError
from nemo_llm.hf.config import read_config_json
from nemo_llm.hf.families import weights
from nemo_llm.hf.load import check_hf, load_hf
from nemo_llm.hf.save import copy_companions, save_hf
from nemo_llm.models.config import ModelConfig

__all__ = ["dtype_of", "export_hf", "import_hf", "stored_dtype"]

_log = logging.getLogger(__name__)

_DTYPES = {
    "fp32": torch.float32,
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "bfloat16": torch.bfloat16,
    "fp16": torch.float16,
    "float16": torch.float16,
}
#: What ``config.json`` says beside the architecture, and is kept for the way back.
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id")
_GENERATION = "generation_config.json"


def dtype_of(name: str | None) -> torch.dtype | None:
    """Return a type by name: ``fp32``, ``bf16`` or ``fp16``, in short or in full.

    >>> dtype_of("bf16")
    torch.bfloat16
    """
    if name is None:
        return None
    if name not in _DTYPES:
        raise ConfigError(f"{name!r} is no type of weights", hint="it is fp32, bf16 or fp16")
    return _DTYPES[name]


def import_hf(
    source: str | Path, output: str | Path, *, dtype: torch.dtype | None = None, overwrite: bool = False
) -> ModelConfig:
    """Write a folder of ``transformers`` as a model folder, with its tokenizer and settings of generation.

    Args:
        source: The folder: ``config.json``, safetensors files and, if it has one, a tokenizer.
        output: The model folder to write.
        dtype: Of the weights; that of the files if not given.
        overwrite: Whether to replace a folder that is there.

    Returns:
        The architecture.

    Raises:
        ConfigError: The architecture is none of ours, or the tokenizer has more tokens than the model.
        ArchiveError: Weights are missing, unexpected, of other shapes, damaged or cut short.
    """
    from nemo_llm.megatron.checkpoint import save_model_folder
    from nemo_llm.models.chunks import chunks_of

    output = refuse_overwrite(output, overwrite)
    config, stored = check_hf(source)
    dtype = dtype or (stored if stored in _DTYPES.values() else torch.float32)
    tokenized = _has_tokenizer(Path(source), config)
    extra = {"hf": _settings(Path(source))}
    with _engine(), tempfile.TemporaryDirectory() as companions:
        copy_companions(source, companions)
        chunks: list[Any] = chunks_of(config, dtype=dtype, seed=None)
        with progress("Reading weights", _count(config), unit="weights") as advance:
            load_hf(source, chunks, config, progress=advance)
        tokenizer = Path(companions) if tokenized else None
        save_model_folder(output, chunks, config, tokenizer=tokenizer, extra=extra, overwrite=overwrite)
    return config


def export_hf(
    source: str | Path,
    output: str | Path,
    *,
    dtype: torch.dtype | None = None,
    max_shard_size: int | str = "5GB",
    overwrite: bool = False,
) -> ModelConfig:
    """Write a model as a folder that ``transformers`` loads.

    Args:
        source: A model folder, a checkpoint, or the folder of a run.
        output: The folder to write.
        dtype: Of the weights; that which they are stored in if not given.
        max_shard_size: Bytes of a file at most, such as ``5GB``.
        overwrite: Whether to replace a folder that is there.

    Returns:
        The architecture.

    Raises:
        ConfigError: There is no model, or no architecture of ``transformers`` can say what it is.
        ArchiveError: It is damaged.
    """
    from nemo_llm.megatron.checkpoint import read_manifest
    from nemo_llm.models.chunks import chunks_of
    from nemo_llm.models.sources import find_folder, load_source
    from nemo_llm.peft.files import CONFIG_FILE

    output = refuse_overwrite(output, overwrite)
    if any((Path(source, inner) / CONFIG_FILE).is_file() for inner in ("", "adapter")):
        raise ConfigError(f"{source} is an adapter, and no whole model", hint="merge it into its model first")
    folder = find_folder(Path(source))
    if not (folder / "manifest.json").is_file():
        raise ConfigError(f"{folder} is a folder of transformers already", hint="copy it")
    manifest = read_manifest(folder)
    config = manifest.config
    settings: Mapping[str, Any] = (manifest.extra or {}).get("hf") or {}
    tokens = settings.get("tokens") or _tokens(manifest.tokenizer)
    with _engine():
        chunks: list[Any] = chunks_of(config, dtype=stored_dtype(folder), seed=None)
        load_source(folder, chunks, config)
        with progress("Writing weights", _count(config), unit="weights") as advance:
            save_hf(
                output,
                chunks,
                config,
                tokenizer_source=manifest.tokenizer,
                extra=tokens,
                generation=settings.get("generation"),
                dtype=dtype,
                max_shard_size=max_shard_size,
                overwrite=overwrite,
                progress=advance,
            )
    return config


@contextlib.contextmanager
def _engine() -> Iterator[None]:
    """Run the engine, if it does not run already."""
    from nemo_llm.megatron import engine, engine_running

    with contextlib.nullcontext() if engine_running() else engine():
        yield


def stored_dtype(folder: Path) -> torch.dtype:
    """Return the type of the weights in a model folder."""
    from nemo_llm.megatron.checkpoint.manifest import WEIGHTS
    from nemo_llm.megatron.checkpoint.safety import read_metadata

    described = read_metadata(folder / WEIGHTS).state_dict_metadata
    for name, each in described.items():
        dtype: Any = getattr(getattr(each, "properties", None), "dtype", None)
        if name.endswith("word_embeddings.weight") and "optimizer" not in name and dtype in _DTYPES.values():
            found: torch.dtype = dtype
            return found
    return torch.float32


def _count(config: ModelConfig) -> int:
    tensors = {piece.tensor: piece.shape for weight in weights(config).values() for piece in weight.pieces}
    return sum(math.prod(shape) for shape in tensors.values())


def _has_tokenizer(folder: Path, config: Any) -> bool:
    from nemo_llm.tokenizers import load_tokenizer

    try:
        tokenizer = load_tokenizer(folder)
    except ConfigError as error:  # damaged ones are a DataError, and are told
        _log.warning("no tokenizer is taken over: %s", error.message)
        return False
    if tokenizer.vocab_size > config.vocab_size:
        raise ConfigError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, and the model knows {config.vocab_size}",
            hint="it is the tokenizer of another model",
        )
    return True


def _settings(folder: Path) -> dict[str, Any]:
    values = read_config_json(folder)
    found: dict[str, Any] = {"tokens": {key: values[key] for key in _TOKENS if key in values}}
    path = folder / _GENERATION
    if path.is_file():
        try:
            found["generation"] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path} is no JSON: {error}") from error
    return found


def _tokens(folder: Path | None) -> dict[str, Any]:
    """Return what the tokenizer says about the tokens for start, end and padding."""
    if folder is None:
        return {}
    from nemo_llm.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(folder)
    ids = (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id)
    return dict(zip(_TOKENS, ids, strict=True))
