"""The model that tells birds apart."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from nemo_birdsong.songs import SPECIES
from nemo_core.errors import ConfigError
from nemo_core.models import Model
from nemo_core.modules import NeuralModule

__all__ = ["SongClassifier"]


class SongClassifier(Model):
    """An encoder, the mean over time, and a linear layer.

    Args:
        encoder: Audio (B, T) to encoded frames (B, D, T').
        width: Channels of the encoder, D.
        species: Names of the classes, in the order of the labels.
    """

    def __init__(self, encoder: NeuralModule, width: int, species: list[str] | None = None) -> None:
        super().__init__()
        self.species = list(species or SPECIES)
        if len(self.species) < 2:
            raise ConfigError("a classifier needs two classes or more", hint="name more species")
        self.encoder = encoder
        self.head = nn.Linear(width, len(self.species))

    def forward(self, audio: Tensor) -> Tensor:
        """Return logits (B, number of species)."""
        return self.head(self.encoder(audio=audio).mean(dim=-1))

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """Return the cross entropy of a batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        """Log loss and accuracy."""
        self._step(batch, "val")

    def test_step(self, batch: dict[str, Tensor], index: int) -> None:
        """Log loss and accuracy."""
        self._step(batch, "test")

    def _step(self, batch: dict[str, Tensor], stage: str) -> Tensor:
        logits = self(batch["audio"])
        loss = F.cross_entropy(logits, batch["label"])
        accuracy = (logits.argmax(dim=-1) == batch["label"]).float().mean()
        metrics = {f"{stage}_loss": loss, f"{stage}_accuracy": accuracy}
        self.log_dict(metrics, batch_size=len(logits), on_step=False, on_epoch=True)
        return loss
