"""Adapters on a whole model: freezing it, giving its matrices adapters, merging them into the weights again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nemo_core.errors import ConfigError, TrainingError
from nemo_core.plugins.nearest import did_you_mean
from nemo_llm.peft.adapter import Adapted, adapt, matrix_kind, part_names, restore_class
from nemo_llm.peft.spec import LoRA, matches, parse_spec

__all__ = [
    "AdapterNote",
    "adapted",
    "adapter_note",
    "adapter_words",
    "apply_peft",
    "is_adapter_key",
    "matrices",
    "merge",
    "take_off",
]


def apply_peft(
    chunks: Sequence[nn.Module] | nn.Module,
    spec: str | Mapping[str, Any] | LoRA,
    *,
    seed: int = 0,
    base: str | Path | None = None,
) -> LoRA:
    """Freeze a model and give it adapters, which are all that learns from then on.

    To be called before the engine wraps the model for data parallelism.

    Args:
        chunks: This process's parts of the model.
        spec: ``lora``, ``dora``, or a mapping with ``name`` and the settings of :class:`~nemo_llm.peft.LoRA`.
        seed: Of the new adapters; processes that share a model must give the same.
        base: Folder that the model's own weights are from; checkpoints then hold the adapters, and this for a note.

    Returns:
        The settings.

    Raises:
        ConfigError: A setting is not possible, a target names nothing, or the model has adapters already.
        TrainingError: The engine does not run.

    Example:
        >>> from nemo_llm.megatron import engine
        >>> from nemo_llm.models import ModelConfig, build_gpt
        >>> config = ModelConfig(vocab_size=65, hidden_size=32, num_layers=1, num_heads=2, ffn_size=64)
        >>> with engine(seed=1):
        ...     model = build_gpt(config)
        ...     spec = apply_peft(model, {"name": "lora", "dim": 4, "targets": ["linear_proj"]})
        >>> sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)[0]
        'decoder.layers.0.self_attention.linear_proj.adapter.linear_proj.lora_a'
    """
    chunks = _list(chunks)
    parsed = parse_spec(spec)
    if not torch.distributed.is_initialized():
        raise TrainingError("the engine does not run", hint="with nemo_llm.megatron.engine(): apply_peft(...)")
    if adapter_note(chunks) is not None:
        raise ConfigError("the model has adapters already", hint="merge(model) them first, or take_off(model)")
    found = list(matrices(chunks))
    _check_targets(parsed, [(name, part_names(name, matrix)) for name, matrix in found])
    for chunk in chunks:
        chunk.requires_grad_(False)
    for name, matrix in found:
        parts = parsed.parts(name, part_names(name, matrix))
        if parts:
            adapt(name, matrix, parts, parsed, seed)
    note = AdapterNote(parsed, None if base is None else str(Path(base).absolute()))
    for chunk in chunks:
        chunk.adapter_note = note  # type: ignore[assignment]
        _let_gradients_through(chunk)
    return parsed


def merge(chunks: Sequence[nn.Module] | nn.Module) -> None:
    """Add the adapters to the weights and take them off; the model computes what it did before.

    The model stays frozen. In bfloat16 the sum is rounded once.
    """
    for _, matrix in adapted(chunks):
        matrix.weight.data.copy_(matrix.adapted_weight())
    take_off(chunks)


def take_off(chunks: Sequence[nn.Module] | nn.Module) -> None:
    """Take the adapters off: the model is what it was before them."""
    for _, matrix in list(adapted(chunks)):
        restore_class(matrix)
    for chunk in _list(chunks):
        _bare(chunk).__dict__.pop("adapter_note", None)


@dataclass(frozen=True)
class AdapterNote:
    """What a model that has adapters knows of them; in every process, whether its own part has any or not.

    Attributes:
        spec: The settings.
        base: Folder that the model's own weights are from, if it is known.
    """

    spec: LoRA
    base: str | None


def adapter_note(chunks: Sequence[nn.Module] | nn.Module) -> AdapterNote | None:
    """Return what a model knows of its adapters, or None if it has none."""
    return next((note for chunk in _list(chunks) if (note := getattr(_bare(chunk), "adapter_note", None))), None)


def adapter_words(chunks: Sequence[nn.Module] | nn.Module) -> dict[str, Any]:
    """Return what a checkpoint says of adapters, which are all the weights that it then has; see :func:`apply_peft`."""
    note = adapter_note(chunks)
    return {} if note is None else {"peft": note.spec.to_dict(), "base": note.base}


def is_adapter_key(key: str) -> bool:
    """Return whether a key of a state dict is of an adapter; a checkpoint of adapters holds no other weights.

    >>> is_adapter_key("decoder.layers.0.self_attention.linear_qkv.adapter.linear_q.lora_a")
    True
    """
    return ".adapter." in key


def adapted(chunks: Sequence[nn.Module] | nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield names and matrices that have adapters."""
    return ((name, matrix) for name, matrix in matrices(chunks) if isinstance(matrix, Adapted))


def matrices(chunks: Sequence[nn.Module] | nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the matrices of all layers with their whole names: layers and experts counted over the whole model."""
    for chunk in _list(chunks):
        for place, layer in chunk.named_modules():
            if not (hasattr(layer, "layer_number") and place.rpartition(".")[0].endswith("layers")):
                continue
            for inner, matrix in layer.named_modules():
                if matrix_kind(matrix) is not None:
                    yield f"layers.{layer.layer_number - 1}.{_expert_name(inner, layer)}", matrix


def _expert_name(name: str, layer: nn.Module) -> str:
    head, found, tail = name.partition("local_experts.")
    if not found:
        return name
    experts: Any = layer.get_submodule(head.rstrip("."))
    number, _, rest = tail.partition(".")
    return f"{head}{found}{int(number) + experts.ep_group.rank() * experts.num_local_experts}.{rest}"


def _bare(chunk: Any) -> Any:
    """Return the engine's model within its wrappers."""
    while isinstance(getattr(chunk, "module", None), nn.Module):
        chunk = chunk.module
    return chunk


def _list(chunks: Sequence[nn.Module] | nn.Module) -> list[nn.Module]:
    return [chunks] if isinstance(chunks, nn.Module) else list(chunks)


def _check_targets(spec: LoRA, found: list[tuple[str, tuple[str, ...]]]) -> None:
    """Refuse targets that name nothing in any process's part of the model."""
    whole = [name for name, _ in found]
    whole += [f"{name.rpartition('.')[0]}.{part}" for name, parts in found for part in parts]
    everywhere: list[list[str]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(everywhere, whole)
    names = sorted({name for each in everywhere for name in each})
    last = sorted({name.rpartition(".")[2] for name in names})
    asked = {"targets": spec.targets, "dims": spec.dims, "alphas": spec.alphas}
    for setting, patterns in asked.items():
        for pattern in patterns:
            if not any(matches(name, pattern) for name in names):
                near = did_you_mean(pattern, last)
                example = f"{near}\n  " if near else ""
                raise ConfigError(
                    f"peft.{setting}: {pattern!r} names no matrix of this model",
                    hint=f"{example}it has {', '.join(last)}; a pattern is of whole names, such as {names[0]}",
                )


def _let_gradients_through(chunk: nn.Module) -> None:
    """Keep the backward pass alive where layers are recomputed: that looks at what goes into the first layer only."""
    embedding = getattr(chunk, "embedding", None)
    if embedding is None or getattr(chunk.config, "recompute_granularity", None) is None:
        return

    def require(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
        return output.requires_grad_() if torch.is_grad_enabled() and not output.requires_grad else output

    embedding.register_forward_hook(require)
