"""From a picture of any size to the tensor that a network takes: resize, crop or pad, and standardise."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from nemo_core.errors import ConfigError, DataError
from nemo_core.modules import NeuralModule
from nemo_core.types import ImageValue, NeuralType, typed
from nemo_mm.elements import PixelValues
from nemo_mm.images.opening import MAX_PIXELS, open_image

__all__ = ["CLIP_MEAN", "CLIP_STD", "Fit", "ImageTransform"]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

Fit = Literal["crop", "squash", "pad"]
_RESAMPLE = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

_SLENDER = 8  # a picture longer than this, by its width, is cut before it is scaled


class ImageTransform(NeuralModule):
    """Makes pictures of one size, and of their pixels what a network takes.

    The two halves run in different places. :meth:`fit` works on one picture, in a process that loads data, and keeps to
    8 bits, so that a quarter of the bytes travel; ``forward`` standardises a batch, where the model is.

    Args:
        size: Height and width of the result, pixels; one number for a square.
        fit: How a picture of another shape fits in. ``crop``: its shorter side is made to fit, and the middle is taken
            (CLIP); ``squash``: height and width are scaled each for itself (SigLIP); ``pad``: all of it is kept, in the
            middle, on a ground of the mean colour.
        resample: nearest, box, bilinear, hamming, bicubic or lanczos; all look at every pixel when they shrink.
        mean: What is taken from pixels in [0, 1], for each channel; 3 channels, or 1 (grey).
        std: What the rest is divided by.
        shortest: With ``crop``: what the shorter side is scaled to, if not to ``size``.
        max_pixels: Width times height of the largest picture that :meth:`read` opens.
        animated: Whether :meth:`read` takes the ``first`` frame of a picture that moves, or makes it an ``error``.

    Example:
        >>> transform = ImageTransform(size=4, fit="squash", mean=[0.5], std=[0.5])
        >>> picture = transform.fit(np.full((2, 9, 3), 255, np.uint8))
        >>> picture.shape, picture.dtype
        ((1, 4, 4), dtype('uint8'))
        >>> transform(torch.from_numpy(picture)[None]).unique().round(decimals=3)
        tensor([1.])
    """

    kind = "image"
    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        size: int | Sequence[int] = 224,
        *,
        fit: Fit = "crop",
        resample: str = "bicubic",
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        shortest: int | None = None,
        max_pixels: int = MAX_PIXELS,
        animated: Literal["first", "error"] = "first",
    ) -> None:
        super().__init__()
        self.size: tuple[int, int] = (size, size) if isinstance(size, int) else tuple(size)  # type: ignore[assignment]
        self.how, self.resample, self.shortest = fit, resample, shortest
        self.max_pixels, self.animated = max_pixels, animated
        _check(self.size, fit, resample, mean, std, shortest)
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        # x / 255 less mean, by std, is one product and one sum. Not weights: the arguments of the construction say all.
        scale = 1 / (255 * torch.tensor(self.std, dtype=torch.float64))
        shift = -torch.tensor(self.mean, dtype=torch.float64) / torch.tensor(self.std, dtype=torch.float64)
        self.register_buffer("scale", scale.float().view(-1, 1, 1), persistent=False)
        self.register_buffer("shift", shift.float().view(-1, 1, 1), persistent=False)

    @classmethod
    def clip(cls, size: int = 224) -> ImageTransform:
        """Return the transform that the CLIP models of OpenAI were trained with."""
        return cls(size)

    @classmethod
    def siglip(cls, size: int = 224) -> ImageTransform:
        """Return the transform that the SigLIP models were trained with."""
        return cls(size, fit="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    @functools.cached_property
    def _axes(self) -> tuple[str, ...]:
        height, width = self.size
        return "B", f"D:{len(self.mean)}", f"H:{height}", f"W:{width}"

    @functools.cached_property
    def input_types(self) -> dict[str, NeuralType]:
        """Pictures that :meth:`fit` has made, (B, D, H, W)."""
        return {"images": NeuralType(self._axes, ImageValue())}

    @functools.cached_property
    def output_types(self) -> dict[str, NeuralType]:
        """What networks take, (B, D, H, W)."""
        return {"pixels": NeuralType(self._axes, PixelValues(mean=self.mean, std=self.std))}

    @typed
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Standardise pictures (B, D, H, W) with values in [0, 255], uint8 or floating."""
        return torch.addcmul(self.shift, images.to(self.scale.dtype), self.scale)

    def fit(self, image: np.ndarray | Image.Image) -> np.ndarray:
        """Bring one picture (H, W, 3), RGB of 8 bits, to the size of the network: (D, height, width), uint8."""
        picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
        mode = "L" if len(self.mean) == 1 else "RGB"
        if picture.mode != mode:
            picture = picture.convert(mode)
        resample = _RESAMPLE[self.resample]
        height, width = self.size
        if picture.size == (width, height) and self.shortest in (None, min(self.size)):
            fitted = picture
        elif self.how == "squash":
            fitted = picture.resize((width, height), resample)
        elif self.how == "pad":
            fitted = self._padded(picture, resample)
        else:
            fitted = self._cropped(picture, resample)
        pixels = np.asarray(fitted)
        return np.array(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), order="C")

    def open(self, source: Any, **options: Any) -> np.ndarray:
        """Open a picture and :meth:`fit` it; the options of :func:`~nemo_mm.images.open_image` go before our own."""
        return self.fit(open_image(source, **{"max_pixels": self.max_pixels, "animated": self.animated, **options}))

    def read(self, source: Any, name: str | None = None) -> np.ndarray:
        """Open a picture and :meth:`fit` it; ``name`` is what messages call it."""
        return self.open(source, name=name)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        """Return ``images`` (B, D, height, width), uint8, of pictures that :meth:`read` or :meth:`fit` has made."""
        return {"images": torch.from_numpy(np.stack(items))}

    def stack(self, sources: Sequence[Any], **options: Any) -> torch.Tensor:
        """Open pictures and make one batch of them, (B, D, height, width), uint8."""
        if not len(sources):
            raise DataError("there are no pictures to make a batch of")
        return self.batch([self.open(source, **options) for source in sources])["images"]

    def _cropped(self, picture: Image.Image, resample: Image.Resampling) -> Image.Image:
        height, width = self.size
        shortest = self.shortest or max(height, width)
        short, long = min(picture.size), max(picture.size)
        longest = int(shortest * long / short)
        across, down = (shortest, longest) if picture.width <= picture.height else (longest, shortest)
        left, top = (across - width) // 2, (down - height) // 2
        if longest <= _SLENDER * shortest:
            return picture.resize((across, down), resample).crop((left, top, left + width, top + height))
        # Scaling all of a picture that is one pixel wide and ten thousand high would take gigabytes. Scaling the middle
        # alone gives the same but for the rounding between the two passes, whose order Pillow chooses by the shape.
        x, y = picture.width / across, picture.height / down
        box = left * x, top * y, min((left + width) * x, picture.width), min((top + height) * y, picture.height)
        return picture.resize((width, height), resample, box=box)

    def _padded(self, picture: Image.Image, resample: Image.Resampling) -> Image.Image:
        height, width = self.size
        scale = min(height / picture.height, width / picture.width)
        inner = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        ground = tuple(round(255 * value) for value in self.mean)
        result = Image.new(picture.mode, (width, height), ground if len(ground) > 1 else ground[0])
        result.paste(picture.resize(inner, resample), ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return result


def _check(
    size: tuple[int, ...],
    fit: str,
    resample: str,
    mean: Sequence[float],
    std: Sequence[float],
    shortest: int | None,
) -> None:
    if len(size) != 2 or min(size) < 1:
        raise ConfigError(f"size is {list(size)}", hint="give height and width in pixels, or one number for both")
    if fit not in ("crop", "squash", "pad"):
        raise ConfigError(f"fit is {fit!r}", hint="crop, squash or pad")
    if resample not in _RESAMPLE:
        raise ConfigError(f"resample is {resample!r}", hint=f"one of {', '.join(_RESAMPLE)}")
    if len(mean) not in (1, 3) or len(mean) != len(std) or min(std) <= 0:
        raise ConfigError(
            f"mean {list(mean)} and std {list(std)} do not fit",
            hint="give both for each channel, 3 (RGB) or 1 (grey), std above 0",
        )
    if shortest is not None and (fit != "crop" or shortest < max(size)):
        raise ConfigError(
            f"shortest is {shortest}", hint=f"with fit=crop, at least {max(size)}; leave it out otherwise"
        )
