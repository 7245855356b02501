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
    """One picture, and what is known of it.

    Attributes:
        image: (C, H, W), uint8.
        label: Number of its class.
        text: A description.
    """

    image: np.ndarray
    label: int | None = None
    text: str | None = None


class PictureBatch(NamedTuple):
    """Several pictures.

    Attributes:
        images: (B, C, H, W), uint8.
        classes: (B,), where all have one.
        texts: B of them, where all have one.
    """

    images: Tensor
    classes: Tensor | None = None
    texts: list[str] | None = None

    def need_classes(self) -> Tensor:
        """Return the classes.

        Raises:
            DataError: The pictures have none.
        """
        if self.classes is None:
            raise DataError("the pictures have no classes", hint="take a data set that has")
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
