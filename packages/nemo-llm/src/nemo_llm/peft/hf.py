"""Adapters as the library ``peft`` of Hugging Face has them, both ways.

A folder holds ``adapter_config.json`` and ``adapter_model.safetensors`` with names such as
``base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight``. Where ``transformers`` keeps as one matrix what has
several adapters here (``c_attn`` of GPT-2, ``qkv_proj`` of Phi-3), theirs is put together of ours: its rank is the sum
of theirs, its ``B`` is block-diagonal, and it computes exactly the same.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from nemo_core.errors import ArchiveError, ConfigError, ExportError
from nemo_llm.peft.apply import adapter_note
from nemo_llm.peft.files import gather_adapter, place_adapter, read_weights, whole_folder
from nemo_llm.peft.spec import PARTS, LoRA

if TYPE_CHECKING:
    from nemo_llm.models.config import ModelConfig

__all__ = ["export_peft", "import_peft"]

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
#: Settings of the library that make another adapter of it, and the values that do not.
_PLAIN: Mapping[str, tuple[Any, ...]] = {
    "bias": ("none", None),
    "modules_to_save": (None, []),
    "lora_bias": (False, None),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "use_qalora": (False, None),
    "alora_invocation_tokens": (None,),
    "arrow_config": (None,),
    "exclude_modules": (None, []),
    "init_lora_weights": (True, False, None, "gaussian", "default", "orthogonal", "eva"),
}


@dataclass(frozen=True)
class _Part:
    """Where one of our adapters is in theirs: rows ``start`` to ``start + rows`` of ``module``."""

    name: str
    module: str
    start: int
    rows: int
    whole: int


def export_peft(
    chunks: Sequence[nn.Module] | nn.Module,
    folder: str | Path,
    *,
    base: str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the adapter of a model as the library ``peft`` reads it; every process takes part, the first writes.

    Args:
        chunks: This process's parts of the model.
        folder: Where to.
        base: Name or folder of the model as transformers reads it; kept as a note.
        overwrite: Replace a folder that is there.

    Returns:
        The folder.

    Raises:
        ConfigError: The model has no adapter.
        ExportError: ``transformers`` has no names for what is adapted.
    """
    from safetensors.torch import save_file

    folder, config = Path(folder), _architecture(chunks)
    known = adapter_note(chunks)
    if known is None:
        raise ConfigError("the model has no adapter to export", hint="apply_peft(model, 'lora') first, or load_adapter")
    weights = gather_adapter(chunks)
    parts = _parts(config)
    problem: list[Any] = [None]
    if distributed.get_rank() == 0:
        try:
            tensors, settings = _to_theirs(weights, known.spec, parts)
            settings = {**_SETTINGS, **settings, "base_model_name_or_path": None if base is None else str(base)}
            settings["fan_in_fan_out"] = config.family == "gpt2"
            with whole_folder(folder, overwrite=overwrite) as temporary:
                save_file(tensors, temporary / WEIGHTS_FILE, metadata={"format": "pt"})
                (temporary / CONFIG_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        except Exception as error:
            problem[0] = error
    distributed.broadcast_object_list(problem, 0)
    if problem[0] is not None:
        raise problem[0]
    return folder


def import_peft(folder: str | Path, chunks: Sequence[nn.Module] | nn.Module) -> LoRA:
    """Put an adapter of the library ``peft`` on a model.

    Args:
        folder: As ``save_pretrained`` of a ``PeftModel`` writes it.
        chunks: This process's parts of the model, without an adapter.

    Returns:
        The settings.

    Raises:
        ArchiveError: The folder cannot be read, or does not fit the model.
        ConfigError: It is no LoRA, or has settings that this one has not.
    """
    folder = Path(folder)
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise ArchiveError(f"{folder} is no adapter of peft: it has no {CONFIG_FILE}")
    try:
        settings = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}", hint="the file is damaged") from None
    _check_settings(settings, path)
    spec, weights = _to_ours(read_weights(folder / WEIGHTS_FILE), settings, _parts(_architecture(chunks)), str(folder))
    place_adapter(chunks, spec, weights, str(folder))
    return spec


_SETTINGS: Mapping[str, Any] = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "bias": "none",
    "inference_mode": True,
    "init_lora_weights": True,
    "modules_to_save": None,
}


def _to_theirs(
    weights: Mapping[str, Tensor], spec: LoRA, parts: Mapping[str, _Part]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return their tensors and settings."""
    names = sorted({name.rpartition(".")[0] for name in weights})
    for name in names:
        if name not in parts:
            raise ExportError(
                f"the adapter of {name} has no name in the layout of peft",
                hint="experts and routers are not adapted there: merge the adapter and export the model",
            )
    by_module: dict[str, list[str]] = {}
    for name in names:
        by_module.setdefault(parts[name].module, []).append(name)
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for module, members in by_module.items():
        lora_a, lora_b, scale = _joined(weights, spec, [parts[name] for name in members])
        tensors[f"{_PREFIX}{module}.lora_A.weight"] = lora_a.contiguous()
        tensors[f"{_PREFIX}{module}.lora_B.weight"] = lora_b.contiguous()
        rank = ranks[module] = lora_a.shape[0]
        alphas[module] = round(scale * (math.sqrt(rank) if spec.rslora else rank), 9)
        if spec.dora:
            if sum(parts[name].rows for name in members) != parts[members[0]].whole:
                raise ExportError(
                    f"DoRA on a part of {module} cannot be said in the layout of peft", hint="merge it and export"
                )
            found = [weights[f"{part.name}.magnitude"] for part in _in_order(parts[name] for name in members)]
            tensors[f"{_PREFIX}{module}.lora_magnitude_vector"] = torch.cat(found)
    everything = {part.module for part in parts.values()}
    rank, alpha = Counter(ranks.values()).most_common(1)[0][0], Counter(alphas.values()).most_common(1)[0][0]
    return tensors, {
        "r": rank,
        "lora_alpha": _whole(alpha),
        "lora_dropout": spec.dropout,
        "use_rslora": spec.rslora,
        "use_dora": spec.dora,
        "target_modules": _short(set(by_module), everything),
        "rank_pattern": _patterns({module: value for module, value in ranks.items() if value != rank}),
        "alpha_pattern": _patterns({module: _whole(value) for module, value in alphas.items() if value != alpha}),
    }


def _joined(weights: Mapping[str, Tensor], spec: LoRA, members: Sequence[_Part]) -> tuple[Tensor, Tensor, float]:
    """Return one adapter that does what several do, each on its rows: A, B and the scale."""
    members = _in_order(members)
    first, scale = members[0], spec.scale_of(members[0].name)
    lora_a = [weights[f"{part.name}.lora_a"] for part in members]
    lora_b = [weights[f"{part.name}.lora_b"] * (spec.scale_of(part.name) / scale) for part in members]
    if len(members) == 1 and first.rows == first.whole:
        return lora_a[0], lora_b[0], scale
    shared = all(torch.equal(each, lora_a[0]) for each in lora_a)
    rank = lora_a[0].shape[0] if shared else sum(each.shape[0] for each in lora_a)
    joined = lora_b[0].new_zeros(first.whole, rank)
    column = 0
    for part, piece in zip(members, lora_b, strict=True):
        joined[part.start : part.start + part.rows, column : column + piece.shape[1]] = piece
        column += 0 if shared else piece.shape[1]
    return lora_a[0] if shared else torch.cat(lora_a), joined, scale


def _to_ours(
    tensors: Mapping[str, Tensor], settings: Mapping[str, Any], parts: Mapping[str, _Part], where: str
) -> tuple[LoRA, dict[str, Tensor]]:
    """Return our settings and weights."""
    by_module: dict[str, list[_Part]] = {}
    for part in parts.values():
        by_module.setdefault(part.module, []).append(part)
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        match = re.fullmatch(r"base_model\.model\.(.+)\.(lora_A|lora_B|lora_magnitude_vector)(\.weight)?", name)
        if match is None or match[1] not in by_module:
            raise ArchiveError(
                f"{where} has {name}, and this model has nothing of that name to adapt",
                hint="the adapter belongs to another model, or adapts embeddings or experts, which is not supported",
            )
        found.setdefault(match[1], {})[match[2]] = value
    if not found:
        raise ArchiveError(f"{where} has no weights of an adapter")
    weights: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for module, values in found.items():
        needed = {"lora_A", "lora_B"} | ({"lora_magnitude_vector"} if settings.get("use_dora") else set())
        if set(values) != needed:
            raise ArchiveError(f"{where}: {module} has {sorted(values)}, and {sorted(needed)} are needed")
        rank = values["lora_A"].shape[0]
        alpha = float(_pattern_value(settings.get("alpha_pattern"), module, settings.get("lora_alpha", 8)))
        for part in by_module[module]:
            rows = slice(part.start, part.start + part.rows)
            ranks[part.name], alphas[part.name] = rank, alpha
            weights[f"{part.name}.lora_a"] = values["lora_A"]
            weights[f"{part.name}.lora_b"] = values["lora_B"][rows]
            if "lora_magnitude_vector" in values:
                weights[f"{part.name}.magnitude"] = values["lora_magnitude_vector"][rows]
    rank, alpha = Counter(ranks.values()).most_common(1)[0][0], Counter(alphas.values()).most_common(1)[0][0]
    spec = LoRA(
        targets=tuple(_short(set(ranks), set(parts))),
        dim=rank,
        alpha=alpha,
        dropout=float(settings.get("lora_dropout") or 0.0),
        rslora=bool(settings.get("use_rslora")),
        dora=bool(settings.get("use_dora")),
        dims={name: value for name, value in ranks.items() if value != rank},
        alphas={name: value for name, value in alphas.items() if value != alpha},
    )
    return spec, weights


def _check_settings(settings: Mapping[str, Any], path: Path) -> None:
    if str(settings.get("peft_type", "LORA")).upper() != "LORA":
        raise ConfigError(
            f"{path}: peft_type is {settings['peft_type']!r}", hint="only LORA (with DoRA) can be imported"
        )
    for key, fine in _PLAIN.items():
        value = settings.get(key, fine[0])
        if value not in fine:
            raise ConfigError(f"{path}: {key} is {value!r}, which is not supported", hint=f"supported: {fine[0]!r}")


def _parts(config: ModelConfig) -> dict[str, _Part]:
    """Return where each of our adapters is in theirs, for all that a model of this architecture may have."""
    from nemo_llm.hf.families import weights

    found = {}
    for name, weight in weights(config).items():
        if not (name.startswith("decoder.layers.") and name.endswith(".weight")) or weight.split is None:
            continue
        if weight.expert is not None:
            continue
        whole = name.removeprefix("decoder.").removesuffix(".weight")
        stem, _, last = whole.rpartition(".")
        names = PARTS.get(last, (last,)) if len(weight.pieces) > 1 else (last,)
        for part, piece in zip(names, weight.pieces, strict=True):
            rows = piece.shape[1] if piece.transposed else piece.shape[0]
            found[f"{stem}.{part}"] = _Part(
                f"{stem}.{part}", piece.tensor.removesuffix(".weight"), piece.start, piece.rows, rows
            )
    return found


def _architecture(chunks: Sequence[nn.Module] | nn.Module) -> ModelConfig:
    chunk: Any = chunks if isinstance(chunks, nn.Module) else chunks[0]
    while not hasattr(chunk, "architecture"):
        chunk = getattr(chunk, "module", None)
        if chunk is None:
            raise ConfigError("only the models of build_gpt have names in the layout of peft")
    found: ModelConfig = chunk.architecture
    return found


def _in_order(parts: Iterable[_Part]) -> list[_Part]:
    return sorted(parts, key=lambda part: part.start)


def _short(chosen: set[str], everything: set[str]) -> list[str]:
    """Return names that mean those that are chosen and no others: last names where that is so, else whole ones."""
    short = []
    for name in sorted(chosen):
        for last in (name.rpartition(".")[2], ".".join(name.split(".")[-2:])):
            alike = {other for other in everything if other == last or other.endswith(f".{last}")}
            if alike <= chosen and ("." not in last or not name.startswith("layers.")):
                short.append(last)
                break
        else:
            short.append(name)
    return list(dict.fromkeys(short))


def _patterns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return whole names as the patterns that the library takes."""
    return {re.escape(name).replace("\\_", "_"): value for name, value in values.items()}


def _pattern_value(patterns: Mapping[str, Any] | None, module: str, default: Any) -> Any:
    """Return the value of the first pattern that fits a module, as the library looks it up."""
    return next((value for key, value in (patterns or {}).items() if re.match(rf"(.*\.)?({key})$", module)), default)


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value
