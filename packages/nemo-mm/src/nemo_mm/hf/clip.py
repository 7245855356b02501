"""CLIP (Radford et al., 2021, arXiv:2103.00020) as transformers keeps it: ``CLIPModel``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_llm.hf.keys import ConfigFile
from nemo_mm.data.fronts import TextTokens
from nemo_mm.hf import towers
from nemo_mm.hf.convert import read_json
from nemo_mm.hf.images import transform_from_hf
from nemo_mm.hf.weights import Rule, both, layers, load, rule, save
from nemo_mm.losses.contrastive import SoftmaxLoss
from nemo_mm.models.contrastive import ContrastiveModel
from nemo_mm.modules.text_transformer import TextTransformer
from nemo_mm.modules.towers import ImageTower, TextTower
from nemo_mm.modules.vit import VisionTransformer

if TYPE_CHECKING:
    from nemo_core.models import Model

__all__ = ["problems", "read", "vision_encoder", "vision_rules", "write"]


def read(folder: Path, config: Mapping[str, Any], tokenizer: str | Path | None = None) -> Model:
    """Return the model of a folder of ``CLIPModel``."""
    file = ConfigFile(config, str(folder / "config.json"))
    size = file.take("projection_dim", kind="int", default=512)
    encoder = vision_encoder(towers.group(file, "vision_config"))
    preprocessor = folder / "preprocessor_config.json"
    transform = transform_from_hf(
        read_json(preprocessor, missing_ok=True),
        encoder.image_size[0],
        channels=encoder.channels,
        where=str(preprocessor),
    )
    text = towers.group(file, "text_config")
    settings = towers.layer_settings(text, width=512, inner=2048, layers=12, heads=8, act="quick_gelu", eps=1e-5)
    length = text.take("max_position_embeddings", kind="int", default=77)
    words = towers.tokenizer_of(folder, tokenizer, ("tokenizer.json",))
    second = TextTower(
        # No letter may look ahead, so what stands behind the end of a text, padding, makes no difference.
        TextTokens(words, length, bos=words.adds_bos),
        TextTransformer(text.take("vocab_size", kind="int", default=49408), length, **settings),
        size,
    )
    model = ContrastiveModel(ImageTower(transform, encoder, size), second, SoftmaxLoss())
    load(model, folder, _rules(model), ignored=("position_ids",))
    return model


def vision_encoder(file: ConfigFile) -> VisionTransformer:
    """Return the vision transformer that the group ``vision_config`` describes, with random weights."""
    settings = towers.layer_settings(file, width=768, inner=3072, layers=12, heads=12, act="quick_gelu", eps=1e-5)
    size, patch = towers.square(file, "image_size", 224), towers.square(file, "patch_size", 32)
    channels = file.take("num_channels", kind="int", default=3)
    return VisionTransformer(size, patch, channels=channels, pool="class", pre_norm=True, **settings)


def vision_rules(encoder: VisionTransformer, ours: str, theirs: str) -> list[Rule]:
    """Return the names of the weights of the vision transformer; ``ours`` and ``theirs`` stand before them."""
    patch = encoder.patch_size
    return [
        rule(f"{ours}.class_token", f"{theirs}.embeddings.class_embedding"),
        rule(
            f"{ours}.patches.weight",
            f"{theirs}.embeddings.patch_embedding.weight",
            (encoder.width, encoder.channels, patch, patch),
        ),
        rule(f"{ours}.positions", f"{theirs}.embeddings.position_embedding.weight"),
        *both(f"{ours}.pre_norm", f"{theirs}.pre_layrnorm"),
        *layers(f"{ours}.transformer", f"{theirs}.encoder", len(encoder.transformer.layers)),
        *both(f"{ours}.norm", f"{theirs}.post_layernorm"),
    ]


def problems(model: ContrastiveModel) -> list[str]:
    """Return what of a model CLIP does not have."""
    image, text = model.first, model.second
    assert isinstance(image, ImageTower)
    assert isinstance(text, TextTower)
    found, vision, words = towers.image_problems(image), image.encoder, text.encoder
    assert isinstance(vision, VisionTransformer)
    assert isinstance(words, TextTransformer)
    if vision.pool != "class" or vision.pre_norm is None or vision.patches.bias is not None or vision.stem is not None:
        found.append("its vision transformer is not CLIP's (pool=class, pre_norm=true, patch_bias=false, no stem)")
    if words.pool != "end" or not words.causal or words.head is not None:
        found.append("its text transformer is not CLIP's (pool=end, causal=true, head=false)")
    if any(not hasattr(tower.projection, "weight") for tower in (image, text)):
        found.append("its towers have no projection (size)")
    if not text.front.eos:
        found.append("its texts have no token for their end (eos=true)")
    return found


def write(model: ContrastiveModel, folder: Path) -> dict[str, Any]:
    """Write the weights, and return the ``config.json``."""
    vision: Any = model.first.encoder
    words: Any = model.second.encoder
    tokenizer = model.second.front.tokenizer  # type: ignore[attr-defined]
    save(model, folder, _rules(model))
    size = model.first.size
    special = {f"{role}_token_id": getattr(tokenizer, f"{role}_id") for role in ("bos", "eos", "pad")}
    # transformers takes the end of a text for the highest of its tokens where eos is 2, as its first files had it.
    return {
        "architectures": ["CLIPModel"],
        "dtype": str(vision.positions.dtype).removeprefix("torch."),
        "logit_scale_init_value": float(model.loss.log_scale.detach()),
        "model_type": "clip",
        "projection_dim": size,
        "text_config": {
            **towers.layer_config(words),
            **special,
            "max_position_embeddings": words.max_length,
            "model_type": "clip_text_model",
            "projection_dim": size,
            "vocab_size": words.vocabulary,
        },
        "vision_config": {**towers.vision_config(vision), "model_type": "clip_vision_model", "projection_dim": size},
    }


def _rules(model: ContrastiveModel) -> list[Rule]:
    vision: Any = model.first.encoder
    words: Any = model.second.encoder
    return [
        rule("loss.log_scale", "logit_scale"),
        rule("first.projection.weight", "visual_projection.weight"),
        rule("second.projection.weight", "text_projection.weight"),
        *vision_rules(vision, "first.encoder", "vision_model"),
        *text_rules(words, "second.encoder", "text_model"),
    ]


def text_rules(encoder: TextTransformer, ours: str, theirs: str) -> list[Rule]:
    """Return the names of the weights of the text transformer, as CLIP and SigLIP have them."""
    return [
        rule(f"{ours}.tokens.weight", f"{theirs}.embeddings.token_embedding.weight"),
        rule(f"{ours}.positions", f"{theirs}.embeddings.position_embedding.weight"),
        *layers(f"{ours}.transformer", f"{theirs}.encoder", len(encoder.transformer.layers)),
        *both(f"{ours}.norm", f"{theirs}.final_layer_norm"),
    ]
