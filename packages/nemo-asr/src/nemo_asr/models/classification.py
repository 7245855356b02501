"""Classification of utterances: commands, speech or not, languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import functional as F

from nemo_asr.models.audio_classifier import AudioClassifier
from nemo_asr.modules.classifier import ConvClassifier
from nemo_asr.modules.crop_or_pad import CropOrPad
from nemo_asr.modules.encoder import AcousticEncoder
from nemo_asr.modules.spec_augment import SpecAugment
from nemo_core import types as nt
from nemo_core.audio.front_end import FrontEnd

if TYPE_CHECKING:
    from nemo_core.models import NvidiaModel

__all__ = ["ClassificationModel"]


class ClassificationModel(AudioClassifier):
    """Features, an encoder, and a classifier of whole utterances, trained with cross-entropy.

    Args:
        preprocessor: Audio to features.
        encoder: Features to encoded frames.
        decoder: Encoded frames to logits.
        labels: The classes, in the order of the decoder's outputs.
        spec_augment: What features go through in training.
        crop_or_pad: Brings features to one length before they are encoded.
        label_smoothing: Share of the target that is spread over all classes.

    Example:
        >>> import torch
        >>> from nemo_asr.modules import MFCC, ConvASREncoder
        >>> model = ClassificationModel(
        ...     preprocessor=MFCC(8000, n_mels=20, n_mfcc=20),
        ...     encoder=ConvASREncoder([{"filters": 16, "kernel": 11}], feat_in=20),
        ...     decoder=ConvClassifier(16, num_classes=2),
        ...     labels=["no", "yes"],
        ... ).eval()
        >>> model(audio=torch.randn(3, 8000), length=torch.tensor([8000] * 3)).shape
        torch.Size([3, 2])
        >>> len(model.classify([torch.randn(8000)])[0].probabilities)
        2
    """

    def __init__(
        self,
        preprocessor: FrontEnd,
        encoder: AcousticEncoder,
        decoder: ConvClassifier,
        labels: Sequence[str],
        spec_augment: SpecAugment | None = None,
        crop_or_pad: CropOrPad | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(preprocessor, encoder, labels, decoder.num_classes, spec_augment)
        self.decoder = decoder
        self.crop_or_pad = crop_or_pad
        self.label_smoothing = label_smoothing

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``audio`` (B, T) and ``length`` (B,) in samples."""
        return self.preprocessor.input_types

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``logits`` (B, C)."""
        return self.decoder.output_types

    @property
    def sees_padding(self) -> bool:
        """Whether logits depend on padding, so that audios of different length must not share a batch."""
        return super().sees_padding or self.decoder.pool_padding

    @nt.typed
    def forward(self, audio: Tensor, length: Tensor) -> Tensor:
        """Return logits (B, C)."""
        return self.logits(audio, length)

    def logits(self, audio: Tensor, length: Tensor) -> Tensor:
        """Return logits (B, C) of ``audio`` (B, T) of ``length`` (B,) samples."""
        features, length = self.features(audio, length)
        if self.crop_or_pad is not None:
            features, length = self.crop_or_pad(features=features, length=length)
        encoded, length = self.encoder(features=features, length=length)
        logits: Tensor = self.decoder(encoded=encoded, length=length)
        return logits

    def criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of ``logits`` (B, C) where ``targets`` (B,) are right."""
        return F.cross_entropy(logits.float(), targets, label_smoothing=self.label_smoothing)

    @classmethod
    def from_nvidia(cls, config: Mapping[str, Any], artifacts: Mapping[str, Path]) -> dict[str, Any]:
        """Return our configuration for that of NVIDIA's ``EncDecClassificationModel``."""
        from nemo_asr.models.nvidia_classifiers import classification_config

        return classification_config(config)

    def nvidia_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return NVIDIA's weights under our names."""
        from nemo_asr.models.nvidia_classifiers import classifier_weights

        return classifier_weights(state, self.state_dict().keys())

    def to_nvidia(self) -> NvidiaModel:
        """Return this model in NVIDIA's words."""
        from nemo_asr.export.nvidia_classifiers import classification_model

        return classification_model(self)
