"""``config.json`` of ``transformers`` to and from a :class:`~nemo_llm.models.config.ModelConfig`."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean
from nemo_llm.hf.architectures import ARCHITECTURES, Architecture
from nemo_llm.hf.keys import ConfigFile
from nemo_llm.hf.rope import used_by
from nemo_llm.models.chunks import config_class
from nemo_llm.models.config import Experts, LatentAttention, ModelConfig, Rope

__all__ = ["architecture_of", "config_from_hf", "config_to_hf", "read_config_json", "read_hf_config"]

_log = logging.getLogger(__name__)

#: Keys that change nothing in what a model computes, or only in how it is trained there.
_BOOKKEEPING = """
architectures auto_map model_type transformers_version torch_dtype dtype use_cache tokenizer_class name_or_path
_name_or_path _attn_implementation _commit_hash bos_token_id eos_token_id pad_token_id sep_token_id
decoder_start_token_id forced_bos_token_id forced_eos_token_id id2label label2id num_labels problem_type return_dict
output_attentions output_hidden_states finetuning_task task_specific_params prefix pruned_heads is_decoder torchscript
chunk_size_feed_forward is_encoder_decoder use_bfloat16 unsloth_fixed unsloth_version output_router_logits
router_jitter_noise aux_loss_alpha seq_aux ep_size num_nextn_predict_layers num_mtp_layers pretraining_tp qk_head_dim
head_dim hidden_act cache_implementation reorder_and_upcast_attn summary_activation summary_first_dropout
summary_proj_to_labels summary_type summary_use_proj classifier_dropout max_window_layers layer_types
"""
#: Values that only training looks at, and that a ``config.json`` need not have a word for.
_TRAINING_ONLY = ("dropout", "experts.aux_loss", "experts.z_loss")


def read_hf_config(folder: str | Path) -> Any:
    """Return the architecture of a model folder of ``transformers``.

    Raises:
        ConfigError: It has no ``config.json``, or one of an architecture that nemo-llm does not have.
    """
    return config_from_hf(read_config_json(folder), str(Path(folder, "config.json")))


def read_config_json(folder: str | Path) -> dict[str, Any]:
    """Return what ``config.json`` of a model folder says.

    Raises:
        ConfigError: It is not there, or no JSON.
    """
    path = Path(folder)
    path = path if path.suffix == ".json" else path / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror or error}",
            hint="give a folder as transformers' save_pretrained writes it: config.json, *.safetensors, ...",
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys but a {type(values).__name__}")
    return values


def architecture_of(values: Mapping[str, Any], where: str = "config.json") -> Architecture:
    """Return the architecture that a ``config.json`` names.

    Raises:
        ConfigError: It is none that we translate; says which are near.
    """
    names = values.get("architectures") or []
    for name in names if isinstance(names, list) else [names]:
        if name in ARCHITECTURES:
            return ARCHITECTURES[name]
    kind = values.get("model_type")
    for each in ARCHITECTURES.values():
        if not names and kind in (each.model_type, each.family):
            return each
    told = names[0] if isinstance(names, list) and names else names or kind
    key = "architectures" if names else "model_type"
    known = sorted(ARCHITECTURES)
    guess = did_you_mean(str(told), known) if told else None
    raise ConfigError(
        f"{where}: {key} is {told!r}, an architecture that nemo-llm does not have",
        hint="; ".join(filter(None, [guess, f"it has {', '.join(known)}"])),
    )


def config_from_hf(values: Mapping[str, Any], where: str = "config.json") -> Any:
    """Translate a ``config.json``.

    Args:
        values: What stands in it, in the spelling of ``transformers`` 4 or 5.
        where: Its path, for errors.

    Raises:
        ConfigError: The architecture is not one of ours, a key is missing or of the wrong kind, or one would change
            what the model computes in a way that we do not compute.

    Example:
        >>> config = config_from_hf({
        ...     "architectures": ["LlamaForCausalLM"], "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2,
        ...     "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64, "rope_theta": 500000.0})
        >>> config.family, config.kv_heads, config.rope.base
        ('llama', 2, 500000.0)
    """
    architecture = architecture_of(values, where)
    file = ConfigFile(values, where)
    if values.get("quantization_config"):
        raise file.error(
            "quantization_config", "is there: the weights are quantised", "save the model dequantised, in bf16, first"
        )
    found: dict[str, Any] = {"family": architecture.family}
    for part in architecture.parts:
        part.read(file, found)
    ignored = set(_BOOKKEEPING.split())
    unknown = [key for key in file.untaken() if key not in ignored and values[key] is not None]
    if unknown:
        _log.warning("%s: keys that nothing uses: %s", where, ", ".join(unknown))
    try:
        return canonical(_build(found, architecture.kind))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.message}", hint=error.hint) from error


def config_to_hf(config: Any) -> dict[str, Any]:
    """Translate a configuration into the keys of a ``config.json``, in the spellings of ``transformers`` 4 and 5.

    Raises:
        ConfigError: The model has something that the architecture of its family cannot say.

    Example:
        >>> values = config_to_hf(ModelConfig(family="qwen3", qk_norm=True))
        >>> values["architectures"], values["rms_norm_eps"]
        (['Qwen3ForCausalLM'], 1e-05)
        >>> config_to_hf(ModelConfig(family="qwen2", qkv_bias=False))
        Traceback (most recent call last):
        nemo_core.errors.ConfigError: Qwen2ForCausalLM cannot say what this model is: qkv_bias is False (it has True)
          choose another family for it, or leave that out
    """
    ours = (each for each in ARCHITECTURES.values() if each.family == config.family and each.when(config))
    architecture = next(ours, None)
    if architecture is None:
        families = sorted(each.family for each in ARCHITECTURES.values())
        raise ConfigError(
            f"family {config.family!r} has no architecture in transformers",
            hint=did_you_mean(config.family, families) or f"these have one: {', '.join(families)}",
        )
    config = canonical(config)
    out: dict[str, Any] = {"architectures": [architecture.name], "model_type": architecture.model_type}
    for part in architecture.parts:
        part.write(config, out)
    back = _meaning(config_from_hf(out, f"{architecture.name} of family {config.family}"))
    told = _meaning(config)
    lost = [
        f"{name} is {told.get(name)!r} (it has {back.get(name)!r})"
        for name in sorted({*told, *back})
        if name not in _TRAINING_ONLY and not _equal(told.get(name), back.get(name))
    ]
    if lost:
        raise ConfigError(
            f"{architecture.name} cannot say what this model is: {', '.join(lost)}",
            hint="choose another family for it, or leave that out",
        )
    return out


def canonical(config: Any) -> Any:
    """Return the same model, said in one of the ways there are to say it: what follows from the rest is left out."""
    if not isinstance(config, ModelConfig):
        return config.canonical()
    usual = config.hidden_size // config.num_heads if config.hidden_size % config.num_heads == 0 else None
    windows = config.window is not None
    return dataclasses.replace(
        config,
        num_kv_heads=None if config.num_kv_heads == config.num_heads else config.num_kv_heads,
        head_dim=None if config.head_dim == usual else config.head_dim,
        query_scale=None if _equal(config.query_scale, config.head_size**-0.5) else config.query_scale,
        global_every=config.global_every if windows and config.window_layers is None else None,
        window_layers=config.window_layers if windows else None,
        rope=_canonical_rope(config) if config.positions == "rope" else Rope(),
    )


def _canonical_rope(config: ModelConfig) -> Rope:
    rope = config.rope
    used = {
        name: getattr(rope, name) for name in ("base", "fraction", "interleaved", "scaling", *used_by(rope.scaling))
    }
    if "original_length" in used:
        used["original_length"] = rope.original_length or config.max_length
    if config.window is not None:
        used["scale_local"] = rope.scale_local and rope.scaling != "none"
    return Rope(**used, local_base=None if rope.local_base == rope.base else rope.local_base)


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are the same, or numbers that differ by no more than rounding."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return bool(one == other)


def _meaning(config: Any) -> dict[str, Any]:
    """Return all values by name, and of windows which layer has which, however that is said."""
    values = flatten(config)
    if not isinstance(config, ModelConfig):
        return values
    windows = tuple(config.window_of(layer) for layer in range(config.num_layers))
    return {**values, "window": windows, "global_every": None, "window_layers": None}


def flatten(config: Any) -> dict[str, Any]:
    """Return all values by name, those inside parts as ``experts.count``."""
    found: dict[str, Any] = {}
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        if dataclasses.is_dataclass(value):
            found.update({f"{each.name}.{part.name}": getattr(value, part.name) for part in dataclasses.fields(value)})
        else:
            found[each.name] = value
    return found


def _build(found: Mapping[str, Any], kind: str) -> Any:
    if kind != "ModelConfig":
        return config_class(kind)(**found)
    parts: dict[str, dict[str, Any]] = {}
    values: dict[str, Any] = {}
    for name, value in found.items():
        part, dot, inner = name.partition(".")
        if dot:
            parts.setdefault(part, {})[inner] = value
        else:
            values[name] = value
    kinds: dict[str, Any] = {"rope": Rope, "experts": Experts, "latent": LatentAttention}
    return ModelConfig(**values, **{part: kinds[part](**inner) for part, inner in parts.items()})
