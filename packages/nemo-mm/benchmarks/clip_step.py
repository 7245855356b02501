"""A training step of CLIP against transformers' CLIPModel: same weights, same batch, same loss, AdamW."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from nemo_core.testing.bench import in_turn, seconds, versions

TARGET, ROUNDS = 1.2, 5
# ViT-B/32, that of OpenAI's smallest CLIP, and one with a quarter of its width and half of its layers.
SHAPES = {
    "ViT-B/32": {"vision": (768, 12, 12, 224, 32), "text": (512, 12, 8, 77), "vocab": 49408, "batch": 16},
    "small": {"vision": (192, 6, 3, 112, 16), "text": (128, 6, 2, 77), "vocab": 4096, "batch": 64},
}


def run() -> dict[str, Any]:
    """Measure forward, loss, backward and optimiser step; texts padded to the longest, and to 77 tokens.

    The second is how the example of transformers for this task trains (padding="max_length").
    """
    rows = []
    for name in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = _both(name, Path(folder))
            for padding in ("longest", "77 tokens"):
                rows.append(_compare(name, padding, ours, theirs))
            del ours, theirs
    worst = min(rows, key=lambda row: row["ours"] / row["peer"])
    return {
        **{key: worst[key] for key in ("ours", "peer", "unit")},
        "rows": rows,
        "target": f"ratio >= {TARGET} for each",
        "ok": all(row["ours"] >= TARGET * row["peer"] for row in rows),
        "versions": versions("nemo-mm", "torch", "transformers"),
    }


def _both(name: str, folder: Path) -> tuple[Any, Any]:
    """Return our model and transformers', with the same weights."""
    from transformers import CLIPConfig, CLIPModel

    from nemo_llm.tokenizers.byte import ByteTokenizer
    from nemo_mm.data import TextTokens
    from nemo_mm.hf.clip import _rules
    from nemo_mm.hf.weights import load
    from nemo_mm.images import ImageTransform
    from nemo_mm.losses import SoftmaxLoss
    from nemo_mm.models import ContrastiveModel
    from nemo_mm.modules import ImageTower, TextTower, TextTransformer, VisionTransformer

    torch.manual_seed(0)
    shape = SHAPES[name]
    width, layers, heads, size, patch = shape["vision"]
    text_width, text_layers, text_heads, length = shape["text"]
    config = CLIPConfig(
        vision_config={
            **_layers(width, layers, heads), "image_size": size, "patch_size": patch,
        },
        text_config={
            **_layers(text_width, text_layers, text_heads), "max_position_embeddings": length,
            "vocab_size": shape["vocab"], "eos_token_id": 1,
        },
        projection_dim=512,
    )  # fmt: skip
    theirs = CLIPModel(config).train()
    theirs.save_pretrained(folder)
    act = {"activation": "quick_gelu"}
    vit = VisionTransformer(size, patch, width, layers, heads, pre_norm=True, **act)
    words = TextTransformer(shape["vocab"], length, text_width, text_layers, text_heads, **act)
    ours = ContrastiveModel(
        ImageTower(ImageTransform(size), vit, 512),
        TextTower(TextTokens(ByteTokenizer(), length), words, 512),
        SoftmaxLoss(),
    )
    load(ours, folder, _rules(ours))
    return ours.train(), theirs


def _layers(width: int, layers: int, heads: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }


def _compare(name: str, padding: str, ours: Any, theirs: Any) -> dict[str, Any]:
    shape = SHAPES[name]
    draw = torch.Generator().manual_seed(1)
    count, size = shape["batch"], shape["vision"][3]
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=draw)
    # Lengths of captions: COCO's have 12 tokens and a few more, with start and end.
    length = torch.randint(9, 20, (count,), generator=draw)
    steps = int(length.max()) if padding == "longest" else shape["text"][3]
    tokens = torch.randint(2, shape["vocab"], (count, steps), generator=draw)
    tokens[torch.arange(steps) >= (length - 1)[:, None]] = 1
    pixels = ours.first.front(images)
    optimisers = [torch.optim.AdamW(model.parameters(), 1e-6, fused=True) for model in (ours, theirs)]

    def loss_of_ours() -> torch.Tensor:
        first = ours._embed(ours.first, {"images": images})
        second = ours._embed(ours.second, {"tokens": tokens, "length": length})
        found: torch.Tensor = ours.loss(first=first, second=second)
        return found

    def loss_of_theirs() -> torch.Tensor:
        found: torch.Tensor = theirs(input_ids=tokens, pixel_values=pixels, return_loss=True).loss
        return found

    with torch.no_grad():
        apart = abs(float(loss_of_ours()) - float(loss_of_theirs()))
    if apart > 1e-4:
        raise SystemExit(f"the losses of the two are {apart} apart: they do not compute the same")

    def step(loss: Any, optimiser: torch.optim.Optimizer) -> None:
        loss().backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    sides = {
        "ours": seconds(lambda: step(loss_of_ours, optimisers[0])),
        "peer": seconds(lambda: step(loss_of_theirs, optimisers[1])),
    }
    found = in_turn(sides, rounds=ROUNDS)
    return {
        "what": f"{name}, batch {count}, texts padded to {padding}",
        "ours": count / found["ours"],
        "peer": count / found["peer"],
        "unit": "pairs/s",
        "losses apart": f"{apart:.0e}",
    }


if __name__ == "__main__":
    sys.exit("python packages/nemo-mm/benchmarks/run.py clip_step")
