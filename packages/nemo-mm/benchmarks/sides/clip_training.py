"""One side of ``clip_step``: trains a folder of CLIP, a step for each line of its input.

    python clip_training.py SIDE FOLDER SHAPE PADDING

SIDE is ``ours`` or ``transformers``, PADDING the length of texts or ``longest``. Each answer is a line of JSON with
``seconds`` and ``loss``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# ViT-B/32, that of OpenAI's smallest CLIP, and one with a quarter of its width and half of its layers.
SHAPES: dict[str, dict[str, Any]] = {
    "ViT-B/32": {"vision": (768, 12, 12, 224, 32), "text": (512, 12, 8, 77), "vocab": 49408, "batch": 16},
    "small": {"vision": (192, 6, 3, 112, 16), "text": (128, 6, 2, 77), "vocab": 4096, "batch": 64},
}


def write(folder: str | Path, name: str) -> None:
    """Write the model that both sides read, of random weights."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    shape = SHAPES[name]
    width, layers, heads, size, patch = shape["vision"]
    text_width, text_layers, text_heads, length = shape["text"]
    config = CLIPConfig(
        vision_config={**_layers(width, layers, heads), "image_size": size, "patch_size": patch},
        text_config={
            **_layers(text_width, text_layers, text_heads),
            "max_position_embeddings": length,
            "vocab_size": shape["vocab"],
            "eos_token_id": 1,
        },
        projection_dim=512,
    )
    CLIPModel(config).save_pretrained(folder)


def _layers(width: int, layers: int, heads: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }


def batch_of(name: str, padding: str) -> tuple[Tensor, Tensor, Tensor]:
    """Return pictures (B, 3, H, W) in [0, 255], uint8, tokens (B, T) and the lengths of texts (B,)."""
    shape = SHAPES[name]
    draw = torch.Generator().manual_seed(1)
    count, size = shape["batch"], shape["vision"][3]
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=draw)
    # Lengths of captions: COCO's have 12 tokens and a few more, with start and end.
    length = torch.randint(9, 20, (count,), generator=draw)
    steps = int(length.max()) if padding == "longest" else int(padding)
    tokens = torch.randint(2, shape["vocab"], (count, steps), generator=draw)
    tokens[torch.arange(steps) >= (length - 1)[:, None]] = 1
    return images, tokens, length


def transformers(folder: str, name: str, images: Tensor, tokens: Tensor, length: Tensor) -> tuple[Any, Any]:
    """Return transformers' model and its loss; pictures are standardised beforehand."""
    from transformers import CLIPModel

    from nemo_mm.images import ImageTransform

    model = CLIPModel.from_pretrained(folder).train()
    pixels = ImageTransform(SHAPES[name]["vision"][3])(images)
    return model, lambda: model(input_ids=tokens, pixel_values=pixels, return_loss=True).loss


def ours(folder: str, name: str, images: Tensor, tokens: Tensor, length: Tensor) -> tuple[Any, Any]:
    """Return our model and its loss, from pictures of 8 bits on."""
    from nemo_llm.tokenizers.byte import ByteTokenizer
    from nemo_mm.data import TextTokens
    from nemo_mm.hf.clip import _rules
    from nemo_mm.hf.weights import load
    from nemo_mm.images import ImageTransform
    from nemo_mm.losses import SoftmaxLoss
    from nemo_mm.models import ContrastiveModel
    from nemo_mm.modules import ImageTower, TextTower, TextTransformer, VisionTransformer

    shape = SHAPES[name]
    width, layers, heads, size, patch = shape["vision"]
    text_width, text_layers, text_heads, longest = shape["text"]
    act = {"activation": "quick_gelu"}
    vit = VisionTransformer(size, patch, width, layers, heads, pre_norm=True, **act)
    words = TextTransformer(shape["vocab"], longest, text_width, text_layers, text_heads, **act)
    model = ContrastiveModel(
        ImageTower(ImageTransform(size), vit, 512),
        TextTower(TextTokens(ByteTokenizer(), longest), words, 512),
        SoftmaxLoss(),
    )
    load(model, folder, _rules(model))
    model.train().on_fit_start()  # as a trainer calls it

    def loss() -> Tensor:
        first = model._embed(model.first, {"images": images})
        second = model._embed(model.second, {"tokens": tokens, "length": length})
        found: Tensor = model.loss(first=first, second=second)
        return found

    return model, loss


def stepper(model: Any, loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Return a step: forward and backward pass, torch's fused AdamW; the same for both sides."""
    optimiser = torch.optim.AdamW(model.parameters(), 1e-6, fused=True)

    def step() -> Tensor:
        found = loss()
        found.backward()
        optimiser.step()
        optimiser.zero_grad()
        return found.detach()

    return step


def main() -> None:
    side, folder, name, padding = sys.argv[1:]
    torch.set_num_threads(2)
    step = stepper(*{"ours": ours, "transformers": transformers}[side](folder, name, *batch_of(name, padding)))
    print("@{}", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        loss = step()
        print("@" + json.dumps({"seconds": time.perf_counter() - start, "loss": float(loss)}), flush=True)


if __name__ == "__main__":
    main()
