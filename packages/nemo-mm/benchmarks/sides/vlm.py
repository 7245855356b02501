"""What both sides of the benchmarks of vision-language models share: the model's folder, pictures and tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

VISION = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 4,
          "image_size": 224, "patch_size": 16}  # fmt: skip
TEXT = {"vocab_size": 8192, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6,
        "num_key_value_heads": 6, "intermediate_size": 1024, "max_position_embeddings": 1024}  # fmt: skip
MARK, PATCHES = 8191, (224 // 16) ** 2


def write(folder: str | Path) -> None:
    """Write the model that both sides read: about 25 million random weights."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**TEXT, bos_token_id=None, eos_token_id=None),
        image_token_index=MARK,
        vision_feature_layer=-2,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)


def tokens_of(rows: int, text: int) -> Tensor:
    """Return rows of a picture's places between tokens, (rows, 8 + places + text)."""
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(0, MARK, (rows, 8 + text), generator=generator)
    return torch.cat([words[:, :8], torch.full((rows, PATCHES), MARK), words[:, 8:]], 1)


def pictures_of(rows: int) -> Tensor:
    """Return pictures (rows, 3, 224, 224) in [0, 255], uint8."""
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, (rows, 3, 224, 224), dtype=torch.uint8, generator=generator)


def standardised(pictures: Tensor) -> Tensor:
    """Return what transformers' processor makes of pictures."""
    from nemo_mm.images import ImageTransform

    found: Tensor = ImageTransform.clip(224)(pictures)
    return found


def ours(folder: str | Path, dtype: torch.dtype) -> Any:
    """Return our model of the folder; the engine runs."""
    from nemo_mm.hf.llava import config_of, load_llava
    from nemo_mm.models.vision_language import VisionLanguageModel

    config = config_of(folder)
    model = VisionLanguageModel(config)
    model.build(dtype=dtype)
    load_llava(folder, list(model.chunks), config)
    model.pack = True  # as nemo_mm.models.loading.loaded, which asks whether there is memory for it
    return model


def theirs(folder: str | Path, dtype: torch.dtype) -> Any:
    """Return transformers' model of the folder."""
    from transformers import LlavaForConditionalGeneration

    return LlavaForConditionalGeneration.from_pretrained(folder, dtype=dtype)
