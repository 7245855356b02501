"""Telling what is in images: on its own, and as a judge of images that were made."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_core.errors import ConfigError, DataError
from nemo_core.models import Model
from nemo_mm.data.picture_sets import PictureBatch
from nemo_mm.images import ImageTransform
from nemo_mm.modules.conv_net import ConvNet
from nemo_mm.modules.random_affine import RandomAffine

__all__ = ["ImageClassifier"]


class ImageClassifier(Model):
    """A network that tells classes of images apart.

    It logs ``train_loss``, ``val_loss``, ``val_accuracy`` and ``test_accuracy``.

    Args:
        transform: Makes what the network takes.
        network: Gives logits and features.
        class_names: In the order of the classes.
        augment: Varies images in training.
        label_smoothing: Part of the probability that is spread over all classes in training.

    Raises:
        ConfigError: There is not a name for each class, or the network is made for other channels.

    Example:
        >>> transform = ImageTransform(8, mean=[0.5], std=[0.5])
        >>> model = ImageClassifier(transform, ConvNet(2, widths=[4], strides=[2]), ["cat", "dog"]).eval()
        >>> probabilities, features = model.judge(torch.zeros(3, 1, 8, 8, dtype=torch.uint8))
        >>> probabilities.shape, features.shape
        (torch.Size([3, 2]), torch.Size([3, 4]))
    """

    def __init__(
        self,
        transform: ImageTransform,
        network: ConvNet,
        class_names: Sequence[str],
        augment: RandomAffine | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if len(class_names) != network.num_classes:
            raise ConfigError(f"ImageClassifier: {len(class_names)} names for {network.num_classes} classes")
        if len(transform.mean) != network.channels:
            raise ConfigError(
                f"ImageClassifier: images of {len(transform.mean)} channels for a network of {network.channels}",
                hint="transform.mean has a number for each channel",
            )
        self.transform, self.network, self.augment = transform, network, augment
        self.class_names, self.label_smoothing = list(class_names), label_smoothing

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, classes) of images (B, C, H, W) with values in [0, 255]."""
        logits, _ = self.network(pixels=self.transform(images=images))
        return logits

    @torch.inference_mode()
    def judge(self, images: Tensor, batch_size: int = 256) -> tuple[Tensor, Tensor]:
        """Return probabilities (N, classes) and features (N, D) of images (N, C, H, W), uint8, on the CPU.

        Raises:
            DataError: Images have another size or number of channels.
        """
        wanted = (self.network.channels, *self.transform.size)
        if tuple(images.shape[1:]) != wanted:
            raise DataError(f"images are {tuple(images.shape[1:])}, and the classifier was made for {wanted}")
        found = [self.network(pixels=self.transform(images=part.to(self.device))) for part in images.split(batch_size)]
        logits, features = (torch.cat([each[i] for each in found]).float().cpu() for i in range(2))
        return logits.softmax(1), features

    def training_step(self, batch: PictureBatch, batch_index: int) -> Tensor:
        """Return the cross-entropy."""
        pixels = self.transform(images=batch.images)
        if self.augment is not None:
            pixels = self.augment(pixels=pixels)
        logits, _ = self.network(pixels=pixels)
        loss = F.cross_entropy(logits, batch.need_classes(), label_smoothing=self.label_smoothing)
        self.log("train_loss", loss.detach(), prog_bar=True, batch_size=len(logits))
        return loss

    def validation_step(self, batch: PictureBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Log loss and accuracy."""
        self._evaluate("val", batch)

    def test_step(self, batch: PictureBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Log loss and accuracy."""
        self._evaluate("test", batch)

    def _evaluate(self, prefix: str, batch: PictureBatch) -> None:
        logits, classes = self(batch.images), batch.need_classes()
        right = (logits.argmax(1) == classes).float().mean()
        values = {f"{prefix}_loss": F.cross_entropy(logits, classes), f"{prefix}_accuracy": right}
        self.log_dict(values, prog_bar=True, batch_size=len(classes), sync_dist=True)
