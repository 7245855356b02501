"""Pictures: opening any of them, and making of them what networks take."""

from typing import TYPE_CHECKING

from nemo_core._lazy import attach

if TYPE_CHECKING:
    from nemo_mm.images.opening import IMAGE_SUFFIXES as IMAGE_SUFFIXES
    from nemo_mm.images.opening import open_image as open_image
    from nemo_mm.images.transforms import ImageTransform as ImageTransform

__getattr__, __dir__ = attach(__name__)
