"""How transformers writes down what pictures go through: ``preprocessor_config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nemo_core.errors import ConfigError
from nemo_mm.images.transforms import CLIP_MEAN, CLIP_STD, ImageTransform

__all__ = ["transform_from_hf", "transform_to_hf"]

#: Pillow's numbers of resampling.
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


def transform_from_hf(
    values: Mapping[str, Any],
    image_size: int,
    *,
    fit: str = "crop",
    channels: int = 3,
    where: str = "preprocessor_config.json",
) -> ImageTransform:
    """Return the transform that a ``preprocessor_config.json`` describes.

    Args:
        values: What the file holds; nothing: the architecture's own transform.
        image_size: Height and width that the network takes.
        fit: What the architecture does where the file does not say: ``crop`` (CLIP) or ``squash`` (SigLIP).
        channels: Of the network.
        where: The file, for errors.

    Raises:
        ConfigError: It asks for what we do not do.

    Example:
        >>> transform = transform_from_hf({"size": {"shortest_edge": 256}, "crop_size": 224}, 224)
        >>> transform.size, transform.how, transform.shortest
        ((224, 224), 'crop', 256)
    """
    for key in ("do_resize", "do_rescale", "do_normalize"):
        if values.get(key, True) is not True:
            raise ConfigError(f"{where}: {key} is {values[key]!r}", hint="only transforms that do it are read")
    size = values.get("size", {"shortest_edge": image_size} if fit == "crop" else image_size)
    default = (CLIP_MEAN, CLIP_STD) if fit == "crop" else ((0.5,) * 3, (0.5,) * 3)
    mean = values.get("image_mean") or default[0][:channels]
    std = values.get("image_std") or default[1][:channels]
    resample = _RESAMPLE.get(values.get("resample", 3), str(values.get("resample")))
    given: dict[str, Any] = {"mean": tuple(mean), "std": tuple(std), "resample": resample}
    if isinstance(size, Mapping) and "shortest_edge" in size:
        if not values.get("do_center_crop", True):
            raise ConfigError(f"{where}: pictures keep their shape (do_center_crop is false)", hint="set it to true")
        crop = _square(values.get("crop_size", image_size), where)
        shortest = int(size["shortest_edge"])
        return ImageTransform(
            _checked(crop, image_size, where), shortest=None if shortest == crop else shortest, **given
        )
    if isinstance(size, int) and fit == "crop" and values.get("do_center_crop", True):
        crop = _square(values.get("crop_size", size), where)
        return ImageTransform(_checked(crop, image_size, where), shortest=None if size == crop else size, **given)
    return ImageTransform(_checked(_square(size, where), image_size, where), fit="squash", **given)


def transform_to_hf(transform: ImageTransform, kind: str) -> dict[str, Any]:
    """Return the ``preprocessor_config.json`` of a transform; ``kind`` is CLIP or Siglip."""
    height, width = transform.size
    number = next(number for number, name in _RESAMPLE.items() if name == transform.resample)
    values: dict[str, Any] = {
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(transform.mean),
        "image_processor_type": f"{kind}ImageProcessor",
        "image_std": list(transform.std),
        "resample": number,
        "rescale_factor": 1 / 255,
    }
    if transform.how == "crop":
        size = {"height": height, "width": width}
        shortest = transform.shortest or max(height, width)
        return {**values, "size": {"shortest_edge": shortest}, "crop_size": size, "do_center_crop": True}
    return {**values, "size": {"height": height, "width": width}, "do_center_crop": False}


def _square(size: Any, where: str) -> int:
    if isinstance(size, int):
        return size
    if isinstance(size, Mapping) and size.get("height") == size.get("width") and isinstance(size.get("height"), int):
        return int(size["height"])
    raise ConfigError(f"{where}: size {size!r} is not a square", hint="pictures of height x height are read")


def _checked(size: int, image_size: int, where: str) -> int:
    if size != image_size:
        raise ConfigError(f"{where}: makes pictures of {size} pixels, and config.json has image_size {image_size}")
    return size
