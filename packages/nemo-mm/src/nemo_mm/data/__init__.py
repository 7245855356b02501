"""Data of multimodal models."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_mm.data.folder import PictureFolder as PictureFolder
    from nemo_mm.data.mnist import Mnist as Mnist
    from nemo_mm.data.picture_sets import LabelledPicture as LabelledPicture
    from nemo_mm.data.picture_sets import PictureBatch as PictureBatch
    from nemo_mm.data.picture_sets import PictureData as PictureData

__getattr__, __dir__ = attach(__name__)
