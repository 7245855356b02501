"""Opening pictures: any format, any colour space, any orientation, as RGB of 8 bits; and a plain word on bad ones."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

from nemo_core.errors import ConfigError, DataError

__all__ = ["IMAGE_SUFFIXES", "MAX_PIXELS", "count_frames", "open_image"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif"})

MAX_PIXELS = 89_478_485
"""Pixels of the largest picture that is opened unasked: a quarter of a gigabyte of RGB, and Pillow's own limit."""

_SUPPORTED = "PNG, JPEG, WebP, GIF, BMP, TIFF and PPM can be read"
_DAMAGED = "save the picture anew or leave it out"
_TOO_LARGE = "make the picture smaller, or raise max_pixels if you trust it"
_PILLOW_LIMIT = threading.Lock()
_TooLargeError = Image.DecompressionBombError


def open_image(
    source: str | Path | bytes | np.ndarray | Image.Image,
    *,
    max_pixels: int = MAX_PIXELS,
    animated: Literal["first", "error"] = "first",
    frame: int = 0,
    name: str | None = None,
) -> np.ndarray:
    """Read a picture as RGB.

    What is transparent is laid on white; CMYK, palettes, grey and 16 bits are converted; a picture that says it lies on
    its side (EXIF) is set upright. Size and damage are found out before and while it is decoded, not after.

    Args:
        source: Path, content of a file, a Pillow image, or pixels: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of 8 or
            16 bits (unsigned), or of truth values.
        max_pixels: Width times height of the largest picture to open; a file of a few kilobytes may unfold to
            gigabytes.
        animated: Of a picture that moves take the ``first`` frame, or make it an ``error``.
        frame: Which frame of a picture that moves, from 0.
        name: What messages call it; the path if not given.

    Returns:
        Pixels (H, W, 3), uint8.

    Raises:
        DataError: The file is missing, empty, damaged, cut off, too large, not a picture, or moves and must not.

    Example:
        >>> open_image(np.zeros((2, 3), np.uint8)).shape
        (2, 3, 3)
        >>> open_image(b"GIF89a", name="logo.gif")
        Traceback (most recent call last):
        nemo_core.errors.DataError: logo.gif: cannot be read as a picture...
    """
    if animated not in ("first", "error"):
        raise ConfigError(f"animated is {animated!r}", hint="first or error")
    name = name or _describe(source)
    if isinstance(source, np.ndarray):
        image = _of_pixels(source, name)
    elif isinstance(source, Image.Image):
        image = source
    else:
        image = _open(source, max_pixels, name)
    _check_size(image, max_pixels, name)
    if animated == "error" and getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{name}: moves ({image.n_frames} frames)", hint="save one frame of it, or set animated=first")  # type: ignore[attr-defined]
    with _translated(name):
        if frame:
            image.seek(frame)
        # Only a reader that decodes lazily can fail here; JPEG may scale while it decodes, but that is not asked for.
        image.load()
        return np.array(_to_rgb(_upright(image), name))  # a copy of our own, which may be written to


def count_frames(source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> int:
    """Return how many pictures a file holds: one, or the frames of one that moves.

    Raises:
        DataError: As of :func:`open_image`.
    """
    name = name or _describe(source)
    image = _open(source, max_pixels, name)
    with _translated(name):
        return int(getattr(image, "n_frames", 1))


def _open(source: str | Path | bytes, max_pixels: int, name: str) -> Image.Image:
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.exists():
            raise DataError(f"{name}: there is no such file")
        if path.is_dir():
            raise DataError(f"{name}: is a folder, not a file")
        with _translated(name):
            source = path.read_bytes()
    if not isinstance(source, (bytes, bytearray, memoryview)):
        raise DataError(f"{name}: is neither a path, the content of a file, nor pixels")
    if len(source) == 0:
        raise DataError(f"{name}: the file is empty", hint=_DAMAGED)
    try:
        with _translated(name), _pillow_limit(max_pixels):
            return Image.open(io.BytesIO(source))
    except _TooLargeError as error:
        raise DataError(f"{name}: has far more than {max_pixels} pixels", hint=_TOO_LARGE) from error


def _check_size(image: Image.Image, max_pixels: int, name: str) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise DataError(
            f"{name}: {width} x {height} pixels are more than {max_pixels}",
            hint=_TOO_LARGE,
        )
    if width * height == 0:
        raise DataError(f"{name}: has no pixels", hint=_DAMAGED)


def _of_pixels(pixels: np.ndarray, name: str) -> Image.Image:
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise DataError(f"{name}: shape {pixels.shape} is not a picture", hint="give (H, W), (H, W, 3) or (H, W, 4)")
    if pixels.size == 0:
        raise DataError(f"{name}: has no pixels")
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    elif pixels.dtype == np.uint16:
        pixels = _eight_bits(pixels)
    elif pixels.dtype != np.uint8:
        raise DataError(f"{name}: pixels of {pixels.dtype}", hint="give uint8 in 0 to 255, or uint16")
    return Image.fromarray(np.ascontiguousarray(pixels))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # A damaged EXIF block says nothing about orientation; the pixels are whole (they are decoded by now).
        return image


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16 bits, or 32 that hold 16
        pixels = np.asarray(image)
        if pixels.size and not 0 <= pixels.min() <= pixels.max() <= 65535:
            raise DataError(f"{name}: pixels of more than 16 bits", hint="save it with 8 or 16 bits")
        return Image.fromarray(_eight_bits(pixels)).convert("RGB")
    if image.mode == "F":
        raise DataError(f"{name}: pixels are floating-point numbers", hint="save it with 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    return ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn what a decoder raises into a word on the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on large or odd files; what matters is an error here
            yield
    except (DataError, _TooLargeError):
        raise
    except Image.UnidentifiedImageError as error:
        raise DataError(f"{name}: cannot be read as a picture", hint=_SUPPORTED) from error
    except Exception as error:  # decoders of damaged files raise whatever comes: OSError, ValueError, struct.error, ...
        raise DataError(f"{name}: is damaged or cut off ({_reason(error)})", hint=_DAMAGED) from error


@contextlib.contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    """Lift Pillow's own limit, a global of its, where a higher one was asked for."""
    if Image.MAX_IMAGE_PIXELS is None or max_pixels <= Image.MAX_IMAGE_PIXELS:
        yield
        return
    with _PILLOW_LIMIT:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _describe(source: Any) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return str(getattr(source, "filename", None) or f"picture given as {type(source).__name__}")
