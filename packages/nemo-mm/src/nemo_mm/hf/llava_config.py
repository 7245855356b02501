"""What a ``config.json`` of LLaVA and an architecture of ours say, translated to each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nemo_core.errors import ConfigError
from nemo_llm.hf.config import config_from_hf, config_to_hf, read_config_json
from nemo_mm.models.vision_config import Vision, VisionLanguageConfig

__all__ = ["PREPROCESSOR", "config_json", "config_of", "preprocessor_json", "text_of", "tower_of"]

PREPROCESSOR = ("preprocessor_config.json", "processor_config.json")
#: What a text_config of the first LLaVA leaves to transformers' Llama.
_LLAMA = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
}
#: Our names of what a vision_config says, and theirs.
_VISION_KEYS: Mapping[str, str] = {
    "image_size": "image_size",
    "patch_size": "patch_size",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "inner": "intermediate_size",
    "activation": "hidden_act",
    "eps": "layer_norm_eps",
}
_SIZES = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "image_size": 224
}  # fmt: skip
#: What a vision_config leaves to transformers, by its kind.
_TOWERS: Mapping[str, Mapping[str, Any]] = {
    "clip_vision_model": {**_SIZES, "patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
    "siglip_vision_model": {**_SIZES, "patch_size": 16, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6},
}
_ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}


def config_of(folder: str | Path) -> VisionLanguageConfig:
    """Return the architecture of a folder of LLaVA.

    Raises:
        ConfigError: It is none, or asks for what we do not compute; the message names the key.
    """
    values, where = read_config_json(folder), str(Path(folder, "config.json"))
    text = text_of(values)
    vision = values.get("vision_config") or {}
    kind = vision.get("model_type", "clip_vision_model")
    if kind not in _TOWERS:
        raise ConfigError(f"{where}: vision_config.model_type is {kind!r}", hint=f"{' and '.join(_TOWERS)} are known")
    siglip = kind == "siglip_vision_model"
    layer = values.get("vision_feature_layer", -2)
    if not isinstance(layer, int) or layer == 0:
        raise ConfigError(f"{where}: vision_feature_layer is {layer!r}", hint="one layer is what is computed")
    strategy = values.get("vision_feature_select_strategy", "default")
    if strategy not in ("default", "full"):
        raise ConfigError(f"{where}: vision_feature_select_strategy is {strategy!r}", hint="default or full")
    if siglip and strategy == "default":
        raise ConfigError(
            f"{where}: vision_feature_select_strategy is 'default', which leaves out the first part of the picture",
            hint="full is what is computed with a siglip_vision_model, which has no class token",
        )
    act = values.get("projector_hidden_act", "gelu")
    if act != "gelu":
        raise ConfigError(f"{where}: projector_hidden_act is {act!r}", hint="gelu is what is computed")
    given = {**_TOWERS[kind], **vision}
    found = {ours: given[theirs] for ours, theirs in _VISION_KEYS.items()}
    if found["activation"] not in _ACTIVATIONS:
        raise ConfigError(f"{where}: vision_config.hidden_act is {found['activation']!r}")
    found["activation"] = _ACTIVATIONS[found["activation"]]
    return VisionLanguageConfig(
        language=config_from_hf(text, where),
        media_token=values.get("image_token_index", values.get("image_token_id", 32000)),
        vision=Vision(**_kind(siglip, vision), **{**found, **_preprocessing(Path(folder), siglip)}),
        features=layer + 1 if layer < 0 else layer,
        class_feature=strategy == "full" and not siglip,
        projector_bias=bool(values.get("multimodal_projector_bias", True)),
    )


def text_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a language model's own ``config.json`` would say."""
    text = dict(values.get("text_config") or {})
    if text.get("model_type", "llama") == "llama":
        text = {**_LLAMA, **text}
        if not text.get("architectures"):
            text["architectures"] = ["LlamaForCausalLM"]
    return text


def tower_of(vision: Vision) -> str | None:
    """Return what transformers calls an encoder of pictures, which is CLIP's or SigLIP's; None: it is neither.

    >>> siglip = Vision(pool="attention", pre_norm=False, patch_bias=True)
    >>> tower_of(Vision()), tower_of(siglip), tower_of(Vision(pool="mean"))
    ('clip_vision_model', 'siglip_vision_model', None)
    """
    if vision.pool == "class" and vision.pre_norm and not vision.patch_bias:
        return "clip_vision_model"
    if vision.pool != "class" and not vision.pre_norm and vision.patch_bias:
        return "siglip_vision_model"
    return None


def _kind(siglip: bool, vision: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes an encoder of pictures CLIP's, or SigLIP's with or without its head."""
    if not siglip:
        return {"pool": "class", "pre_norm": True}
    head = vision.get("vision_use_head", True)
    return {"pool": "attention" if head else "mean", "pre_norm": False, "patch_bias": True}


def _preprocessing(folder: Path, siglip: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"fit": "squash", "mean": (0.5,) * 3, "std": (0.5,) * 3} if siglip else {}
    for name in PREPROCESSOR:
        if (folder / name).is_file():
            values = json.loads((folder / name).read_text(encoding="utf-8"))
            values = values.get("image_processor", values)
            found["fit"] = "crop" if values.get("do_center_crop", not siglip) else "squash"
            if values.get("image_mean") and values.get("image_std"):
                found |= {"mean": tuple(values["image_mean"]), "std": tuple(values["image_std"])}
            return found
    return found


def preprocessor_json(config: VisionLanguageConfig) -> dict[str, Any]:
    """Return what a ``preprocessor_config.json`` says of how pictures are made fit."""
    height, width = config.vision.size
    return {
        "image_processor_type": "CLIPImageProcessor"
        if tower_of(config.vision) == "clip_vision_model"
        else "SiglipImageProcessor",
        "do_center_crop": config.vision.fit == "crop",
        "crop_size": {"height": height, "width": width},
        "size": {"shortest_edge": max(height, width)}
        if config.vision.fit == "crop"
        else {"height": height, "width": width},
        "do_resize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "do_convert_rgb": True,
        "image_mean": list(config.vision.mean),
        "image_std": list(config.vision.std),
        "resample": 3,
    }


def config_json(config: VisionLanguageConfig, text: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``config.json`` of an architecture; ``text`` is that of its language model."""
    theirs = {ours: name for name, ours in _ACTIVATIONS.items()}
    tower = tower_of(config.vision)
    vision = {name: getattr(config.vision, key) for key, name in _VISION_KEYS.items()}
    vision["image_size"] = config.vision.size[0]
    vision["intermediate_size"] = config.vision.inner or 4 * config.vision.width
    vision["hidden_act"] = theirs[config.vision.activation]
    if config.vision.pool == "mean":
        vision["vision_use_head"] = False
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": config.media_token,
        "projector_hidden_act": "gelu",
        "multimodal_projector_bias": config.projector_bias,
        "vision_feature_layer": config.features - 1 if config.features <= 0 else config.features,
        "vision_feature_select_strategy": "full" if config.class_feature or tower != "clip_vision_model" else "default",
        "image_seq_length": config.each,
        "tie_word_embeddings": config.language.tied_embeddings,
        "text_config": {**config_to_hf(config.language), **text},
        "vision_config": {**vision, "model_type": tower},
    }
