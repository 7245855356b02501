"""SigLIP (Zhai et al., 2023, arXiv:2303.15343) as transformers keeps it: ``SiglipModel``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_llm.hf.keys import ConfigFile
from nemo_mm.data.fronts import TextTokens
from nemo_mm.hf import towers
from nemo_mm.hf.clip import text_rules
from nemo_mm.hf.convert import read_json
from nemo_mm.hf.images import transform_from_hf
from nemo_mm.hf.weights import Rule, both, layers, load, rule, save
from nemo_mm.losses.contrastive import SigmoidLoss
from nemo_mm.models.contrastive import ContrastiveModel
from nemo_mm.modules.text_transformer import TextTransformer
from nemo_mm.modules.towers import ImageTower, TextTower
from nemo_mm.modules.vit import VisionTransformer

if TYPE_CHECKING:
    from nemo_core.models import Model
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["problems", "read", "vision_encoder", "vision_rules", "write"]


def read(folder: Path, config: Mapping[str, Any], tokenizer: str | Path | None = None) -> Model:
    """Return the model of a folder of ``SiglipModel``."""
    file = ConfigFile(config, str(folder / "config.json"))
    encoder = vision_encoder(towers.group(file, "vision_config"))
    preprocessor = folder / "preprocessor_config.json"
    values = read_json(preprocessor, missing_ok=True)
    transform = transform_from_hf(
        values, encoder.image_size[0], fit="squash", channels=encoder.channels, where=str(preprocessor)
    )
    text = towers.group(file, "text_config")
    settings = towers.layer_settings(
        text, width=768, inner=3072, layers=12, heads=12, act="gelu_pytorch_tanh", eps=1e-6
    )
    projection = text.take("projection_size", kind="int", default=settings["width"])
    if projection != settings["width"]:
        raise text.error("projection_size", f"is {projection}, and only the hidden_size, {settings['width']}, is read")
    length = text.take("max_position_embeddings", kind="int", default=64)
    words, clean = _tokenizer(folder, tokenizer)
    pad = text.take("pad_token_id", kind="int", default=1)
    tokens = TextTokens(
        words, length, bos=words.adds_bos, eos=words.eos_id is not None, pad_to_max=True, clean=clean,
        pad_id=words.eos_id if clean == "canonical" else pad if words.pad_id is None else words.pad_id,
    )  # fmt: skip
    words_encoder = TextTransformer(
        text.take("vocab_size", kind="int", default=32000),
        length,
        causal=False,
        pool="final",
        sees_padding=True,
        head=True,
        **settings,
    )
    model = ContrastiveModel(ImageTower(transform, encoder), TextTower(tokens, words_encoder), SigmoidLoss())
    load(model, folder, _rules(model), ignored=("position_ids",))
    return model


def vision_encoder(file: ConfigFile) -> VisionTransformer:
    """Return the vision transformer that the group ``vision_config`` describes, with random weights."""
    settings = towers.layer_settings(
        file, width=768, inner=3072, layers=12, heads=12, act="gelu_pytorch_tanh", eps=1e-6
    )
    if not file.take("vision_use_head", kind="bool", default=True):
        raise file.error("vision_use_head", "is false: the model makes no vector of a picture")
    size, patch = towers.square(file, "image_size", 224), towers.square(file, "patch_size", 16)
    channels = file.take("num_channels", kind="int", default=3)
    return VisionTransformer(size, patch, channels=channels, pool="attention", patch_bias=True, **settings)


def vision_rules(encoder: VisionTransformer, ours: str, theirs: str) -> list[Rule]:
    """Return the names of the weights of the vision transformer; ``ours`` and ``theirs`` stand before them."""
    patch = encoder.patch_size
    return [
        rule(
            f"{ours}.patches.weight",
            f"{theirs}.embeddings.patch_embedding.weight",
            (encoder.width, encoder.channels, patch, patch),
        ),
        rule(f"{ours}.patches.bias", f"{theirs}.embeddings.patch_embedding.bias"),
        rule(f"{ours}.positions", f"{theirs}.embeddings.position_embedding.weight"),
        *layers(f"{ours}.transformer", f"{theirs}.encoder", len(encoder.transformer.layers)),
        *both(f"{ours}.norm", f"{theirs}.post_layernorm"),
        *([] if encoder.head is None else head_rules(f"{ours}.head", f"{theirs}.head")),
    ]


def head_rules(ours: str, theirs: str) -> list[Rule]:
    """Return the names of the weights of the attention that makes one vector of all patches."""
    return [
        rule(f"{ours}.query", f"{theirs}.probe", (1, 1, -1)),
        *(
            Rule((f"{ours}.q.{part}", f"{ours}.kv.{part}"), (f"{theirs}.attention.in_proj_{part}",))
            for part in ("weight", "bias")
        ),
        *both(f"{ours}.out", f"{theirs}.attention.out_proj"),
        *both(f"{ours}.norm", f"{theirs}.layernorm"),
        *both(f"{ours}.fc1", f"{theirs}.mlp.fc1"),
        *both(f"{ours}.fc2", f"{theirs}.mlp.fc2"),
    ]


def problems(model: ContrastiveModel) -> list[str]:
    """Return what of a model SigLIP does not have."""
    image, text = model.first, model.second
    assert isinstance(image, ImageTower)
    assert isinstance(text, TextTower)
    found, vision, words = towers.image_problems(image), image.encoder, text.encoder
    assert isinstance(vision, VisionTransformer)
    assert isinstance(words, TextTransformer)
    if (
        vision.pool != "attention"
        or vision.pre_norm is not None
        or vision.patches.bias is None
        or vision.stem is not None
    ):
        found.append(
            "its vision transformer is not SigLIP's (pool=attention, pre_norm=false, patch_bias=true, no stem)"
        )
    if words.pool != "final" or words.causal or words.head is None:
        found.append("its text transformer is not SigLIP's (pool=final, causal=false, head=true)")
    if any(hasattr(tower.projection, "weight") for tower in (image, text)):
        found.append("its towers have a projection (size)")
    return found


def write(model: ContrastiveModel, folder: Path) -> dict[str, Any]:
    """Write the weights, and return the ``config.json``."""
    vision: Any = model.first.encoder
    words: Any = model.second.encoder
    front: Any = model.second.front
    save(model, folder, _rules(model))
    special = {f"{role}_token_id": getattr(front.tokenizer, f"{role}_id") for role in ("bos", "eos")}
    return {
        "architectures": ["SiglipModel"],
        "dtype": str(vision.positions.dtype).removeprefix("torch."),
        "model_type": "siglip",
        "text_config": {
            **towers.layer_config(words),
            **special,
            "max_position_embeddings": words.max_length,
            "model_type": "siglip_text_model",
            "pad_token_id": front.pad_id,
            "projection_size": words.width,
            "vocab_size": words.vocabulary,
        },
        "vision_config": {**towers.vision_config(vision), "model_type": "siglip_vision_model"},
    }


def _tokenizer(folder: Path, given: str | Path | None) -> tuple[Tokenizer, Any]:
    """Return the tokenizer, and what texts go through before it."""
    from nemo_llm.tokenizers.sentence_piece import SentencePieceTokenizer

    piece = folder / "spiece.model"
    if given is None and piece.is_file():
        # The first SigLIP: SiglipTokenizer drops punctuation before it asks the model, which does the rest.
        return SentencePieceTokenizer(piece, eos_token="</s>", adds_bos=False), "canonical"
    return towers.tokenizer_of(folder, given, ("tokenizer.json", "tokenizer.model", "spiece.model")), "none"


def _rules(model: ContrastiveModel) -> list[Rule]:
    vision: Any = model.first.encoder
    words: Any = model.second.encoder
    return [
        rule("loss.log_scale", "logit_scale", (1,)),
        rule("loss.bias", "logit_bias", (1,)),
        *vision_rules(vision, "first.encoder", "vision_model"),
        *text_rules(words, "second.encoder", "text_model"),
        *both("second.encoder.head", "text_model.head"),
    ]
