"""Pictures of conversations: where they stand in a record, opened, and in a batch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nemo_core.errors import DataError
from nemo_mm.images.opening import count_frames, open_image
from nemo_mm.images.tiles import best_grid, count_arranged, cut

if TYPE_CHECKING:
    from nemo_llm.data.records import Record
    from nemo_mm.models.vision_config import VisionLanguageConfig

__all__ = ["IMAGE", "VIDEO", "Picture", "Pictures", "frames_of", "pictures_of"]

IMAGE, VIDEO = "<image>", "<video>"


@dataclass(frozen=True)
class Picture:
    """A picture as a vision-language model is given it.

    Attributes:
        pixels: (T, C, H, W) uint8: the picture, and behind it its tiles, if it has any.
        size: Height and width before it was scaled, pixels.
        count: Embeddings that it becomes.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    count: int


class Pictures:
    """Opens pictures as an architecture wants them.

    Args:
        architecture: Of the model.

    Attributes:
        fixed: Embeddings of each picture; None where that depends on its size.
    """

    def __init__(self, architecture: VisionLanguageConfig) -> None:
        self.architecture = architecture
        vision = architecture.vision
        self.transform = vision.transform()
        self.tile = self.transform.size
        self.fixed = None if architecture.tiles else architecture.each

    def open(self, source: Any, frame: int | None = None, name: str | None = None) -> Picture:
        """Open a picture: a path, the content of a file, pixels, or a Pillow image; of one that moves, one frame."""
        return self.read(open_image(source, frame=frame or 0, name=name))

    def read(self, pixels: np.ndarray) -> Picture:
        """Return a picture of pixels (H, W, 3), RGB of 8 bits."""
        size = pixels.shape[0], pixels.shape[1]
        whole = self.transform.fit(pixels)
        tiles = self.architecture.tiles
        if not tiles:
            return Picture(whole[None], size, self.architecture.each)
        grid = best_grid(*size, tiles, self.tile)
        parts = [self.transform.fit(part) for part in cut(pixels, grid, self.tile, self.transform.resample)]
        count = count_arranged(*size, grid, self.architecture.grid)
        return Picture(np.stack([whole, *parts]), size, count)

    def collate(self, rows: Sequence[Sequence[Picture]]) -> dict[str, Tensor]:
        """Return what the reader is given of the pictures of each row, filled up to the most of any; at least one."""
        counts = [sum(len(picture.pixels) for picture in row) for row in rows]
        most = max(1, *counts)
        channels = len(self.transform.mean)
        pixels = torch.zeros(len(rows), most, channels, *self.tile, dtype=torch.uint8)
        for place, row in enumerate(rows):
            if row:
                pixels[place, : counts[place]] = torch.from_numpy(np.concatenate([each.pixels for each in row]))
        found = {"pixels": pixels, "pixel_counts": torch.tensor(counts)}
        if self.architecture.tiles:
            sizes = torch.zeros(len(rows), max(1, *map(len, rows)), 2, dtype=torch.long)
            for place, row in enumerate(rows):
                for number, picture in enumerate(row):
                    sizes[place, number] = torch.tensor(picture.size)
            found |= {"image_sizes": sizes, "image_counts": torch.tensor([len(row) for row in rows])}
        return found


def pictures_of(record: Record) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return a record with marks for all its pictures, and the sources of its pictures and of its videos.

    Raises:
        DataError: What should be pictures is none; the message names file and line.
    """
    values = dict(record.values)
    found: dict[str, list[Any]] = {}
    for kind in ("image", "video"):
        given = values.get(f"{kind}s", values.get(kind))
        if given is None:
            given = []
        elif isinstance(given, str) or (kind == "video" and f"{kind}s" not in values and _all(given, str)):
            given = [given]
        if not isinstance(given, list) or not all(isinstance(each, str) or kind == "video" for each in given):
            raise DataError(f"{record.where}: {kind} is {given!r}", hint="give a path, or a list of paths")
        found[kind] = list(given)
    for key in ("messages", "conversations"):
        if isinstance(values.get(key), list):
            values[key] = [_joined(message, found, record.where) for message in values[key]]
    return values, found


def _joined(message: Any, found: dict[str, list[Any]], where: str) -> Any:
    """Return a message whose content is a text with marks, where it was a list of parts."""
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), list):
        return message
    text = ""
    for part in message["content"]:
        kind = part.get("type") if isinstance(part, Mapping) else "text"
        if kind in ("image", "video"):
            text += IMAGE if kind == "image" else VIDEO
            source = part.get(kind) or part.get("path")
            if source is not None:
                found[kind].append(source)
        elif kind == "text":
            text += part if isinstance(part, str) else str(part.get("text", ""))
        else:
            raise DataError(f"{where}: a part of a message is of type {kind!r}", hint="text, image and video are known")
    return {**message, "content": text}


def frames_of(source: Any, count: int, folder: Path, where: str) -> list[list[Any]]:
    """Return ``count`` frames of a video, evenly spread: [path, frame or None] each.

    Args:
        source: A picture that moves, or a list of paths of frames.
        count: How many.
        folder: That paths start from.
        where: File and line, for messages.

    Raises:
        DataError: It cannot be read.
    """
    if _all(source, str):
        places = _spread(len(source), count)
        return [[source[place], None] for place in places]
    path = os.path.join(folder, str(source))
    try:
        frames = count_frames(path)
    except DataError as error:
        raise DataError(
            f"{where}: cannot be read as a video: {error.message}",
            hint="give a list of frames (paths of pictures), or a picture that moves: GIF, WebP, PNG",
        ) from error
    return [[str(source), place] for place in _spread(frames, count)]


def _spread(length: int, count: int) -> list[int]:
    """Return ``count`` places among ``length``, evenly spread, the middle of each part.

    >>> _spread(10, 4), _spread(2, 4)
    ([1, 3, 6, 8], [0, 0, 1, 1])
    """
    return [min(int((place + 0.5) * length / count), length - 1) for place in range(count)]


def _all(given: Any, kind: type) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(each, kind) for each in given)
