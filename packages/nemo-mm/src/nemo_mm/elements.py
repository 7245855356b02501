"""Element types of multimodal models: what the numbers between image, text and speech modules mean."""

from __future__ import annotations

from nemo_core.types import EncodedRepresentation, ImageFeatureValue

__all__ = ["Embedding", "PixelValues", "VisionEncoded"]


class PixelValues(ImageFeatureValue):
    """Pixels as networks take them: scaled to [0, 1], then less ``mean`` and divided by ``std``, channel by channel.

    A network that was trained with one mean is not fed with pixels of another: where both sides say it, they must
    agree.

    >>> from nemo_core.types import NeuralType
    >>> given = NeuralType(("B", "D", "H", "W"), PixelValues(mean=(0.5,), std=(0.5,)))
    >>> NeuralType(("B", "D", "H", "W"), PixelValues()).compare(given).name
    'SAME'
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


class VisionEncoded(EncodedRepresentation):
    """Hidden states of a vision encoder, one for each patch."""


class Embedding(EncodedRepresentation):
    """One vector for a whole picture, text or recording, in a space that different kinds of input may share."""
