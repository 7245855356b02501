"""What CLIP and SigLIP folders have in common, and which of the two a model can be written as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError, ExportError
from nemo_llm.hf.keys import ConfigFile
from nemo_mm.hf.images import transform_to_hf
from nemo_mm.losses.contrastive import SigmoidLoss, SoftmaxLoss
from nemo_mm.modules.text_transformer import TextTransformer
from nemo_mm.modules.towers import ImageTower, TextTower
from nemo_mm.modules.vit import VisionTransformer

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer
    from nemo_mm.models.contrastive import ContrastiveModel

__all__ = ["group", "layer_settings", "square", "tokenizer_of", "write"]

#: Activations: theirs -> ours.
ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh"}
_THEIRS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}


def group(file: ConfigFile, name: str) -> ConfigFile:
    """Return a group of a ``config.json``; where the file leaves it out, an empty one: all is as by default."""
    values = file.take(name, kind="dict", default={})
    legacy = file.take(f"{name}_dict", kind="dict", default={})  # files of the first versions of transformers
    return ConfigFile({**values, **legacy}, f"{file.where}: {name}")


def layer_settings(
    file: ConfigFile, *, width: int, inner: int, layers: int, heads: int, act: str, eps: float
) -> dict[str, Any]:
    """Return the arguments of a transformer; the keywords are what transformers takes where the file does not say."""
    activation = file.take("hidden_act", kind="str", default=act)
    if activation not in ACTIVATIONS:
        raise file.error("hidden_act", f"is {activation!r}, which is not known here", f"{', '.join(ACTIVATIONS)} are")
    return {
        "width": file.take("hidden_size", kind="int", default=width),
        "inner": file.take("intermediate_size", kind="int", default=inner),
        "layers": file.take("num_hidden_layers", kind="int", default=layers),
        "heads": file.take("num_attention_heads", kind="int", default=heads),
        "activation": ACTIVATIONS[activation],
        "eps": file.take("layer_norm_eps", kind="float", default=eps),
        "dropout": file.take("attention_dropout", kind="float", default=0.0),
    }


def square(file: ConfigFile, key: str, default: int) -> int:
    """Return the side of a square, which the file gives as one number or two equal ones."""
    value = file.take(key, default=default)
    if isinstance(value, list) and len(set(value)) == 1:
        value = value[0]
    if not isinstance(value, int):
        raise file.error(key, f"is {value!r}, and only squares are read")
    return value


def tokenizer_of(folder: Path, given: str | Path | None, names: tuple[str, ...]) -> Tokenizer:
    """Return the tokenizer of a model folder.

    Raises:
        ConfigError: There is none; says what to give.
    """
    from nemo_llm.tokenizers import load_tokenizer

    if given is not None:
        return load_tokenizer(given)
    if not any((folder / name).is_file() for name in names):
        raise ConfigError(
            f"{folder} has no tokenizer ({' or '.join(names)})",
            hint="save it there too (AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER)), or give --tokenizer",
        )
    return load_tokenizer(folder)


def write(model: ContrastiveModel, folder: Path) -> list[str]:
    """Write CLIP or SigLIP, whichever the model is."""
    from nemo_mm.hf import clip, siglip

    image, text = model.first, model.second
    reasons = []
    if not (isinstance(image, ImageTower) and isinstance(image.encoder, VisionTransformer)):
        reasons.append("the first tower is no ImageTower with a VisionTransformer")
    if not (isinstance(text, TextTower) and isinstance(text.encoder, TextTransformer)):
        reasons.append("the second is no TextTower with a TextTransformer")
    if reasons:
        raise ExportError(f"transformers has no words for this model: {'; '.join(reasons)}")
    if not isinstance(model.loss, SigmoidLoss | SoftmaxLoss):
        raise ExportError(f"transformers has no words for the loss {type(model.loss).__name__}")
    writer = siglip if isinstance(model.loss, SigmoidLoss) else clip
    problems = writer.problems(model)
    if problems:
        name = "SiglipModel" if writer is siglip else "CLIPModel"
        raise ExportError(f"transformers has no words for this model: {name} would be it, but {'; '.join(problems)}")
    config = writer.write(model, folder)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    kind = "Siglip" if writer is siglip else "CLIP"
    preprocessor = json.dumps(transform_to_hf(image.front, kind), indent=2, sort_keys=True)  # type: ignore[arg-type]
    (folder / "preprocessor_config.json").write_text(preprocessor + "\n", encoding="utf-8")
    return _write_tokenizer(text, folder)  # type: ignore[arg-type]


def layer_config(encoder: Any) -> dict[str, Any]:
    """Return the keys of ``config.json`` that describe a transformer."""
    layer = encoder.transformer.layers[0]
    return {
        "attention_dropout": layer.attention.dropout,
        "hidden_act": _THEIRS[layer.activation],
        "hidden_size": encoder.width,
        "intermediate_size": layer.fc1.out_features,
        "layer_norm_eps": layer.norm1.eps,
        "num_attention_heads": layer.attention.heads,
        "num_hidden_layers": len(encoder.transformer.layers),
    }


def vision_config(encoder: VisionTransformer) -> dict[str, Any]:
    """Return the keys of ``config.json`` that describe a vision transformer."""
    return {
        **layer_config(encoder),
        "image_size": encoder.image_size[0],
        "num_channels": encoder.channels,
        "patch_size": encoder.patch_size,
    }


def image_problems(image: ImageTower) -> list[str]:
    """Return what of an image tower neither CLIP nor SigLIP has."""
    encoder: Any = image.encoder
    problems = []
    if encoder.image_size[0] != encoder.image_size[1]:
        problems.append("pictures are not square")
    if image.front.how == "pad":
        problems.append("pictures are padded (fit=pad)")
    return problems


def _write_tokenizer(text: TextTower, folder: Path) -> list[str]:
    tokenizer = text.front.tokenizer
    if tokenizer.kind not in ("hf", "sentencepiece"):
        return [f"transformers has no tokenizer of the kind {tokenizer.kind!r}: none was written"]
    tokenizer.save(folder)
    if tokenizer.kind == "sentencepiece":  # as SiglipTokenizer calls it
        (folder / "tokenizer.model").rename(folder / "spiece.model")
    return []
