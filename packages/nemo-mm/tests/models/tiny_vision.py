"""Small vision-language models, and batches for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nemo_llm.megatron import Layout
from nemo_llm.testing import train_steps
from nemo_mm.models.vision_config import VisionLanguageConfig
from nemo_mm.models.vision_language import VisionLanguageModel

MARK = 60
VISION = {"image_size": 28, "patch_size": 14, "width": 16, "layers": 2, "heads": 2}
LANGUAGE = {"vocab_size": 61, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2, "ffn_size": 64}


def config(language: Any = LANGUAGE, vision: Any = VISION, **changes: Any) -> VisionLanguageConfig:
    return VisionLanguageConfig.from_dict({"language": language, "media_token": MARK, "vision": vision, **changes})


def model(**options: Any) -> VisionLanguageModel:
    return VisionLanguageModel(options.pop("architecture", None) or config(), seed=1, **options)


def batch(step: int, rows: int = 4, length: int = 16) -> dict[str, Tensor]:
    """Rows with none, one or two pictures of four places each."""
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, 60, (rows, length + 1), generator=generator)
    counts = torch.arange(rows) % 3
    for row in range(rows):
        for start in (1 + row % 2, 9 + row % 3)[: int(counts[row])]:
            tokens[row, start : start + 4] = MARK
    return {
        "tokens": tokens[:, :-1],
        "labels": tokens[:, 1:],
        "loss_mask": (tokens[:, 1:] != MARK).float(),
        "pixels": torch.randint(0, 256, (rows, 2, 3, 28, 28), dtype=torch.uint8, generator=generator),
        "pixel_counts": counts,
    }


def training(layout: Layout, **options: Any) -> list[tuple[float, float]]:
    return train_steps(model, batch, layout, **options)
