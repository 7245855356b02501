"""What nemo-mm registers with nemo-core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_core.plugins import hookimpl

if TYPE_CHECKING:
    from nemo_core.plugins import Registry


@hookimpl
def nemo_components(registry: Registry) -> None:
    """Register multimodal models, a function for each story."""
    registry.recipes("nemo_mm.conf", prefix="mm", summary="Multimodal models")
    registry.command("mm", summary="Tools for multimodal models")
    _images(registry)
    _contrastive(registry)
    _generation(registry)
    _vision_language(registry)
    _speech_language(registry)


def _images(registry: Registry) -> None:
    """Register what turns pictures into tensors."""
    registry.module(
        "mm.ImageTransform",
        "nemo_mm.images.transforms:ImageTransform",
        summary="Resize, crop or pad, and standardise pictures",
        example={"size": 8},
    )


def _contrastive(registry: Registry) -> None:
    """Register what brings pictures, texts and speech into one space."""


def _generation(registry: Registry) -> None:
    """Register what makes pictures."""


def _vision_language(registry: Registry) -> None:
    """Register language models that see."""


def _speech_language(registry: Registry) -> None:
    """Register language models that hear."""
