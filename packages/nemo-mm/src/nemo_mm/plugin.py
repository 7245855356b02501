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
    small = {"channels": 1, "latent_channels": 2, "widths": [4, 8], "layers": 1, "groups": 2}
    registry.module(
        "mm.DiT",
        "nemo_mm.modules.dit:DiT",
        summary="Diffusion transformer: predicts noise or velocity of pictures",
        example={
            **{"image_size": 8, "channels": 1, "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
            **{"classes": 10, "text_width": 4},
        },
    )
    registry.module(
        "mm.ImageEncoder",
        "nemo_mm.modules.autoencoder:ImageEncoder",
        summary="Pictures to latents, by convolutions",
        example=small,
    )
    registry.module(
        "mm.ImageDecoder",
        "nemo_mm.modules.autoencoder:ImageDecoder",
        summary="Latents to pictures, by convolutions",
        example=small,
    )
    registry.module(
        "mm.ConvNet",
        "nemo_mm.modules.conv_net:ConvNet",
        summary="Small convolutional classifier",
        example={"classes": 3, "channels": 8, "widths": [4], "strides": [2]},
    )
    registry.augmentation(
        "mm.RandomAffine", "nemo_mm.modules.random_affine:RandomAffine", summary="Turns, moves, scales, shears pictures"
    )
    registry.module(
        "mm.CharacterEncoder",
        "nemo_mm.modules.text_encoder:CharacterEncoder",
        summary="Encodes texts character by character, for pictures of texts",
        example={"text_width": 4},
    )
    registry.module(
        "mm.TransformersText",
        "nemo_mm.modules.transformers_text:TransformersText",
        summary="Text encoder of Hugging Face, as archives keep it",
        example=None,
    )
    for name, module, summary in (
        ("ImageGenerator", "image_generator", "Makes pictures of classes or texts, by diffusion or flow matching"),
        ("AutoencoderKL", "autoencoder", "Pictures to small latents and back"),
        ("ImageClassifier", "image_classifier", "Tells what is in pictures"),
    ):
        registry.model(f"mm.{name}", f"nemo_mm.models.{module}:{name}", summary=summary)
    for name, module, summary in (
        ("PictureData", "picture_sets", "Data module of pictures with classes or texts"),
        ("PictureFolder", "folder", "Pictures in a folder for each class"),
        ("Mnist", "mnist", "Handwritten digits that come with the package"),
    ):
        registry.dataset(f"mm.{name}", f"nemo_mm.data.{module}:{name}", summary=summary)
    for name, target, summary in (
        ("FlowMatching", "flow_matching", "Straight lines from pictures to noise"),
        ("GaussianDiffusion", "gaussian", "Noise in many small steps (DDPM, DDIM)"),
    ):
        registry.process(f"mm.{name}", f"nemo_mm.diffusion.{target}:{name}", summary=summary)
    for name, summary in (
        ("Pretrained", "A trained model, or a part of one, in the place of a new one"),
        ("PretrainedText", "A text encoder of Hugging Face: T5's or CLIP's"),
    ):
        registry.model_builder(f"mm.{name}", f"nemo_mm.models.pretrained:{name}", summary=summary, example=None)
    registry.command("mm sample", "nemo_mm.cli.sample:sample", summary="Make pictures of a class or a text")
    registry.command(
        "mm fidelity", "nemo_mm.cli.fidelity:fidelity", summary="How recognisable and how real made pictures are"
    )


def _vision_language(registry: Registry) -> None:
    """Register language models that see."""


def _speech_language(registry: Registry) -> None:
    """Register language models that hear."""
