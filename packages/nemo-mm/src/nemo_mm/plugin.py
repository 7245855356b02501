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
    registry.model(
        "mm.VisionLanguageModel",
        "nemo_mm.models.vision_language:VisionLanguageModel",
        summary="Language model that sees: LLaVA and what came of it",
        architecture="nemo_mm.models.vision_config:VisionLanguageConfig",
        network="nemo_mm.models.network",
    )
    registry.dataset(
        "mm.VisionConversations",
        "nemo_mm.data.conversations:VisionConversations",
        summary="Conversations about pictures: LLaVA's JSON and what is like it",
    )
    registry.dataset("mm.SceneData", "nemo_mm.data.scenes:SceneData", summary="Questions about drawn scenes (NLVR)")
    registry.tokenizer(
        "mm.scene_tokenizer",
        "nemo_mm.data.scene_questions:scene_tokenizer",
        summary="Words of questions about drawn scenes",
    )
    hf = "Hugging Face's transformers"
    registry.command("mm ask", "nemo_mm.cli.ask:ask", summary="Ask a vision-language model about pictures")
    registry.command("mm import", summary="Take over models from elsewhere")
    registry.command("mm import hf", "nemo_mm.cli.import_:hf", summary=f"Take over a model folder of {hf}")
    registry.command("mm export", summary="Write models for elsewhere")
    registry.command("mm export hf", "nemo_mm.cli.export:hf", summary=f"Write a model folder for {hf}")


def _speech_language(registry: Registry) -> None:
    """Register language models that hear."""
