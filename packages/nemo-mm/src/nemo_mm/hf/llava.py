"""LLaVA of ``transformers`` (``LlavaForConditionalGeneration``) as a model folder of ours, and back, bit by bit."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nemo_core.cli.output import refuse_overwrite
from nemo_core.errors import ConfigError
from nemo_llm.hf.config import read_config_json
from nemo_llm.hf.files import WeightFiles
from nemo_llm.hf.load import load_hf
from nemo_llm.hf.save import copy_companions, save_hf
from nemo_llm.hf.writing import WeightWriter
from nemo_mm.hf import clip, siglip
from nemo_mm.hf.llava_config import PREPROCESSOR, config_json, config_of, preprocessor_json, text_of, tower_of
from nemo_mm.hf.weights import Rule, both, load, named
from nemo_mm.models.vision_config import VisionLanguageConfig

if TYPE_CHECKING:
    from nemo_mm.models.vision_reader import VisionReader

__all__ = ["config_of", "export_llava", "import_llava", "load_llava"]


def import_llava(source: str | Path, output: str | Path, *, dtype: Any = None, overwrite: bool = False) -> Any:
    """Write a folder of LLaVA as a model folder, with its tokenizer and settings.

    Args:
        source: The folder: ``config.json``, safetensors files, tokenizer.
        output: The model folder to write.
        dtype: Of the weights; that of the files if not given.
        overwrite: Whether to replace a folder that is there.

    Returns:
        The architecture.

    Raises:
        ConfigError: It is no LLaVA, or one that we do not compute.
        ArchiveError: Weights are missing, unexpected, of other shapes, damaged or cut short.
    """
    output = refuse_overwrite(output, overwrite)
    source = Path(source)
    config = config_of(source)
    kept = {"config": read_config_json(source)}
    for name in (*PREPROCESSOR, "generation_config.json"):
        if (source / name).is_file():
            kept[name] = json.loads((source / name).read_text(encoding="utf-8"))
    with _engine(), tempfile.TemporaryDirectory() as companions:
        from nemo_llm.hf.convert import _has_tokenizer
        from nemo_llm.megatron.checkpoint import save_model_folder
        from nemo_mm.models.network import build_chunks

        tokenized = _has_tokenizer(source, config)
        copy_companions(source, companions)
        chunks: list[Any] = build_chunks(config, dtype=dtype or _stored(source), seed=None)
        load_llava(source, chunks, config)
        save_model_folder(
            output,
            chunks,
            config,
            tokenizer=Path(companions) if tokenized else None,
            extra={"hf": kept},
            overwrite=overwrite,
        )
    return config


def load_llava(folder: str | Path, chunks: list[Any], config: VisionLanguageConfig) -> None:
    """Load a folder of LLaVA into this process's parts of a model, however it is divided."""
    from nemo_mm.models.multimodal import _without_reader

    with _without_reader(chunks):
        load_hf(folder, chunks, config.language, values=text_of(read_config_json(folder)), names=_language_name)
    for chunk in chunks:
        if chunk.reader is not None:
            _load_reader(Path(folder), chunk.reader)


def export_llava(source: str | Path, output: str | Path, *, dtype: Any = None, overwrite: bool = False) -> Any:
    """Write a model as a folder that ``transformers`` loads as ``LlavaForConditionalGeneration``.

    Args:
        source: A model folder, a checkpoint, or the folder of a run.
        output: The folder to write.
        dtype: Of the weights; that which they are stored in if not given.
        overwrite: Whether to replace a folder that is there.

    Returns:
        The architecture.

    Raises:
        ConfigError: LLaVA cannot say what the model is.
    """
    from nemo_llm.models.sources import find_folder

    output = refuse_overwrite(output, overwrite)
    folder = find_folder(Path(source))
    with _engine(), tempfile.TemporaryDirectory() as temporary:
        from nemo_llm.hf.convert import stored_dtype
        from nemo_llm.megatron.checkpoint import read_manifest
        from nemo_llm.models.sources import load_source
        from nemo_mm.models.multimodal import _without_reader
        from nemo_mm.models.network import build_chunks

        manifest = read_manifest(folder)
        config = manifest.config
        _check_exportable(config, folder)
        kept = (manifest.extra or {}).get("hf") or {}
        chunks: list[Any] = build_chunks(config, dtype=dtype or stored_dtype(folder), seed=None)
        load_source(folder, chunks, config)
        reader = _reader_weights(chunks[0].reader)
        text = Path(temporary, "text")
        with _without_reader(chunks):
            save_hf(text, chunks, config.language, tokenizer_source=manifest.tokenizer)
        target = Path(temporary, "whole")
        target.mkdir()
        with WeightFiles(text, "", ()) as files:
            tensors = {_published(name): files.view(name) for name in files.names()}
            tensors |= reader
            with WeightWriter(target, {name: (each.dtype, tuple(each.shape)) for name, each in tensors.items()}) as w:
                for name, each in tensors.items():
                    w.write(name, each)
            del tensors
        copy_companions(text, target)
        _write(target / "config.json", kept.get("config") or config_json(config, read_config_json(text)))
        for name in (*PREPROCESSOR, "generation_config.json"):
            if name in kept:
                _write(target / name, kept[name])
        if not any(name in kept for name in PREPROCESSOR):
            _write(target / PREPROCESSOR[0], preprocessor_json(config))
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.exists():
            shutil.rmtree(output)
        shutil.copytree(target, output)
    return config


# ---------------------------------------------------------------------------------------------------------- weights


def _language_name(name: str) -> str | None:
    """Return what a tensor of LLaVA is called in its language model's own files; None: it is of the reader.

    >>> _language_name("language_model.model.norm.weight"), _language_name("model.language_model.norm.weight")
    ('model.norm.weight', 'model.norm.weight')
    """
    bare = name.removeprefix("model.")
    if bare.startswith(("vision_tower.", "multi_modal_projector.")):
        return None
    if bare.startswith("language_model."):
        bare = bare.removeprefix("language_model.").removeprefix("model.")
        return bare if bare.startswith("lm_head.") else f"model.{bare}"
    return name


def _published(name: str) -> str:
    """Return what a tensor of a language model is called in LLaVA's published files."""
    return f"language_model.{name}"


def _reader_name(name: str) -> str | None:
    bare = name.removeprefix("model.")
    if bare.startswith("vision_tower."):
        bare = f"vision.{bare.removeprefix('vision_tower.').removeprefix('vision_model.')}"
        return None if bare.endswith("position_ids") else bare
    return bare if bare.startswith("multi_modal_projector.") else None


def _load_reader(folder: Path, reader: VisionReader) -> None:
    load(reader, folder, _rules(reader), rename=_reader_name)


def _rules(reader: VisionReader) -> list[Rule]:
    """Return the names of all the reader's weights, as :func:`_reader_name` says theirs."""
    module = siglip if tower_of(reader.config.vision) == "siglip_vision_model" else clip
    names = {name for name, _ in reader.named_parameters()}
    projector = [
        *both("projector.0", "multi_modal_projector.linear_1"),
        *both("projector.2", "multi_modal_projector.linear_2"),
    ]
    return [
        *module.vision_rules(reader.encoder, "encoder", "vision"),
        *(each for each in projector if names.issuperset(each.ours)),
    ]


def _reader_weights(reader: VisionReader) -> dict[str, Tensor]:
    """Return the reader's weights by their published names."""
    return {
        name.replace("vision.", "vision_tower.vision_model.", 1) if name.startswith("vision.") else name: weight
        for name, weight in named(reader, _rules(reader)).items()
    }


def _check_exportable(config: Any, folder: Path) -> None:
    if not isinstance(config, VisionLanguageConfig):
        raise ConfigError(f"{folder} is no vision-language model: {type(config).__name__}")
    vision, tower = config.vision, tower_of(config.vision)
    wrong = [
        what
        for what, is_wrong in (
            ("tiles", bool(config.tiles)),
            ("merge above 1", config.merged != (1, 1)),
            ("a linear projector", config.projector != "mlp"),
            ("vision that is neither CLIP's (pool=class, pre_norm) nor SigLIP's (patch_bias)", tower is None),
            ("vision.stem", bool(vision.stem)),
            ("pictures that are no squares", vision.size[0] != vision.size[1]),
            ("grey pictures", len(vision.mean) != 3),
        )
        if is_wrong
    ]
    if wrong:
        raise ConfigError(f"{folder} has {', '.join(wrong)}, which LLaVA of transformers has not")


def _stored(folder: Path) -> torch.dtype:
    with WeightFiles(folder, "", (), _reader_name) as files:
        name = next(iter(files.names()), None)
        return torch.float32 if name is None else files.dtype(name)


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@contextmanager
def _engine() -> Iterator[None]:
    from nemo_llm.megatron import engine, engine_running

    with nullcontext() if engine_running() else engine():
        yield
