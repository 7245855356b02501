"""A small convolutional classifier, and the features that it sees images by."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule

__all__ = ["ConvNet"]


class ConvNet(NeuralModule):
    """Convolutions of 3 x 3, batch-normalised, half as wide from layer to layer where a stride says so.

    Args:
        classes: What it tells apart.
        channels: Of the images.
        widths: Of the layers.
        strides: Of the layers; 1 or 2 each.

    Raises:
        ConfigError: There are fewer than two classes, no layer, or not a stride for each.

    Example:
        >>> import torch
        >>> logits, features = ConvNet(10, widths=[4, 8], strides=[2, 2])(pixels=torch.zeros(2, 1, 9, 9))
        >>> logits.shape, features.shape
        (torch.Size([2, 10]), torch.Size([2, 8]))
    """

    def __init__(
        self,
        classes: int,
        channels: int = 1,
        widths: Sequence[int] = (24, 32, 48, 64, 96),
        strides: Sequence[int] = (1, 2, 1, 2, 1),
    ) -> None:
        super().__init__()
        if classes < 2:
            raise ConfigError(f"ConvNet: {classes} classes cannot be told apart")
        if not widths or len(widths) != len(strides) or not set(strides) <= {1, 2}:
            raise ConfigError(f"ConvNet: widths {list(widths)} and strides {list(strides)} do not fit", hint="one each")
        self.channels, self.num_classes, self.width = channels, classes, widths[-1]
        layers: list[nn.Module] = []
        for before, after, stride in zip((channels, *widths), widths, strides, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], classes)

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``pixels`` (B, C, H, W), around 0."""
        return {"pixels": nt.NeuralType(("B", f"D:{self.channels}", "H", "W"), nt.ImageFeatureValue())}

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``logits`` (B, classes) and the ``features`` (B, D) they are made of."""
        return {
            "logits": nt.NeuralType(("B", f"D:{self.num_classes}"), nt.Logits()),
            "features": nt.NeuralType(("B", f"D:{self.width}"), nt.EncodedRepresentation()),
        }

    @nt.typed
    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, classes) and features (B, D) of images (B, C, H, W)."""
        features = self.layers(pixels).mean((2, 3))
        return self.head(features), features
