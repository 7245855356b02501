"""Small models that make pictures, and small pictures."""

from __future__ import annotations

from typing import Any

import torch

from nemo_mm.diffusion import FlowMatching
from nemo_mm.images import ImageTransform
from nemo_mm.models import AutoencoderKL, ImageClassifier, ImageGenerator
from nemo_mm.modules import ConvNet, DiT, ImageDecoder, ImageEncoder

NAMES = ["cat", "dog", "owl"]
SIZES: dict[str, Any] = {"patch_size": 2, "width": 16, "depth": 1, "heads": 2}
LATENTS: dict[str, Any] = {"channels": 1, "latent_channels": 2, "widths": [4, 8], "layers": 1, "groups": 2}


def transform(size: int = 8) -> ImageTransform:
    return ImageTransform(size, mean=[0.5], std=[0.5])


def make_generator(*, asleep: bool = False, network: dict[str, Any] | None = None, **options: Any) -> ImageGenerator:
    """Return a generator of pictures of 8 x 8, with weights where a new one has zeros, which would hide everything."""
    torch.manual_seed(0)
    settings = {"image_size": 8, "channels": 1, **SIZES, "classes": 3, **(network or {})}
    if settings["classes"] == 3:
        options.setdefault("class_names", NAMES)
    model = ImageGenerator(transform(), DiT(**settings), options.pop("process", FlowMatching()), **options)
    if not asleep:
        for weight in model.network.parameters():
            torch.nn.init.normal_(weight, std=0.2)
    return model.eval()


def make_autoencoder(**options: Any) -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(transform(), ImageEncoder(**LATENTS), ImageDecoder(**LATENTS), **options).eval()


def make_judge(names: list[str] = NAMES, size: int = 8) -> ImageClassifier:
    torch.manual_seed(0)
    return ImageClassifier(transform(size), ConvNet(len(names), widths=[4, 8], strides=[2, 1]), names).eval()
