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
    registry.model(
        "mm.SpeechLanguageModel",
        "nemo_mm.models.salm:SpeechLanguageModel",
        architecture="nemo_mm.models.speech_config:SpeechLanguageConfig",
        network="nemo_mm.models.network",
        summary="Language model that hears: SALM",
    )
    registry.module(
        "mm.SpeechReader",
        "nemo_mm.modules.speech_reader:SpeechReader",
        summary="Audio to embeddings of a language model: front end, encoder, subsampler, projector",
        example=None,
    )
    registry.module(
        "mm.StridedEncoder",
        "nemo_mm.modules.strided_encoder:StridedEncoder",
        summary="One strided convolution over features",
        example={"feat_in": 8, "feat_out": 16},
        example_sizes={"D": 8},
    )
    for name, module, summary in (
        ("SpeechChatData", "speech_chat", "Conversations with audio, in batches"),
        ("SpeechConversations", "spoken", "Files of conversations with audio"),
        ("SpeechTasks", "speech_tasks", "Questions about plain speech: transcription, translation, ..."),
        ("SpeechMixture", "speech_tasks", "Data sets of conversations mixed by weight"),
    ):
        registry.dataset(f"mm.{name}", f"nemo_mm.data.{module}:{name}", summary=summary)
    registry.tokenizer(
        "mm.word_tokenizer", "nemo_mm.data.word_tokenizer:word_tokenizer", summary="Words as tokens, for small worlds"
    )
    registry.command(
        "mm transcribe", "nemo_mm.cli.audio:transcribe", summary="Write down what is said, with a speech-language model"
    )
