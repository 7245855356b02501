"""Pictures with classes or texts, and batches of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nemo_core.data import DataModule
from nemo_core.errors import DataError

__all__ = ["LabelledPicture", "PictureBatch", "PictureData"]


class LabelledPicture(NamedTuple):
    """One picture, and what is known of it."""

    image: np.ndarray
    """(C, H, W), uint8."""
    label: int | None = None
    """Number of its class."""
    text: str | None = None
    """A description."""


class PictureBatch(NamedTuple):
    """Several pictures."""

    images: Tensor
    """(B, C, H, W), uint8."""
    classes: Tensor | None = None
    """(B,), where all have one."""
    texts: list[str] | None = None
    """B of them, where all have one."""

    def need_classes(self, count: int) -> Tensor:
        """Return the classes, which are 0 to ``count - 1``.

        Raises:
            DataError: The pictures have none, or one is not among them. On a GPU only the first is found: looking at
                classes would make the host wait for all that is under way.
        """
        if self.classes is None:
            raise DataError("the pictures have no classes", hint="take a data set that has")
        if self.classes.device.type == "cpu" and len(self.classes):
            low, high = int(self.classes.min()), int(self.classes.max())
            if low < 0 or high >= count:
                raise DataError(
                    f"a picture is of class {low if low < 0 else high}, and the model has {count} classes",
                    hint="set the number of classes to that of the data",
                )
        return self.classes

    def need_texts(self) -> list[str]:
        """Return the texts.

        Raises:
            DataError: The pictures have none.
        """
        if self.texts is None:
            raise DataError("the pictures have no texts", hint="take a data set that has")
        return self.texts


class PictureData(DataModule):
    """Data module of pictures.

    Args:
        train: Map-style data set of :class:`LabelledPicture`; or null.
        validation: The same.
        test: The same.
        options: As for :class:`~nemo_core.data.DataModule`.

    Example:
        >>> from nemo_mm.data.mnist import Mnist
        >>> data = PictureData(train=Mnist("train"), batch_size=4)
        >>> next(iter(data.train_dataloader())).images.shape
        torch.Size([4, 1, 28, 28])
    """

    def __init__(self, train: Any = None, validation: Any = None, test: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.train, self.validation, self.test = train, validation, test

    def dataset(self, split: str) -> Any:
        """Return the data set of a split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}.get(split)

    def collate(self, items: list[LabelledPicture]) -> PictureBatch:
        """Return the batch of ``items``.

        Raises:
            DataError: Pictures differ in size.
        """
        shapes = {item.image.shape for item in items}
        if len(shapes) > 1:
            raise DataError(f"pictures of one batch differ in size: {', '.join(map(str, sorted(shapes)))}")
        classes = [item.label for item in items if item.label is not None]
        texts = [item.text for item in items if item.text is not None]
        return PictureBatch(
            torch.from_numpy(np.stack([item.image for item in items])),
            torch.tensor(classes) if len(classes) == len(items) else None,
            texts if len(texts) == len(items) else None,
        )
