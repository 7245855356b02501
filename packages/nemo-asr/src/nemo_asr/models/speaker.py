"""Recognition and verification of speakers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_asr.losses.angular import AngularSoftmaxLoss
from nemo_asr.models.audio_classifier import AudioClassifier
from nemo_asr.modules.encoder import AcousticEncoder
from nemo_asr.modules.speaker_decoder import SpeakerDecoder
from nemo_asr.modules.spec_augment import SpecAugment
from nemo_core import types as nt
from nemo_core.audio.front_end import FrontEnd
from nemo_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nemo_core.models import NvidiaModel

__all__ = ["SpeakerModel"]


class SpeakerModel(AudioClassifier):
    """Features, an encoder, and a decoder that gives an embedding of the speaker and logits of those known in training.

    Trained with cross-entropy, or with an angular loss if one is given. Models of languages and the like have the same
    form.

    Args:
        preprocessor: Audio to features.
        encoder: Features to encoded frames.
        decoder: Encoded frames to logits and embedding.
        labels: The speakers known in training, in the order of the decoder's logits; numbers if not given.
        spec_augment: What features go through in training.
        loss: The angular loss; the decoder must be ``angular``.

    Example:
        >>> from nemo_asr.modules import ConvASREncoder, MelSpectrogram
        >>> model = SpeakerModel(
        ...     preprocessor=MelSpectrogram(8000, features=20),
        ...     encoder=ConvASREncoder([{"filters": 16, "kernel": 5, "se": True}], feat_in=20),
        ...     decoder=SpeakerDecoder(16, num_classes=3, emb_sizes=8, pool_mode="attention"),
        ... ).eval()
        >>> voice = torch.randn(8000)
        >>> model.get_embedding(voice).shape, model.verify_speakers(voice, voice)
        (torch.Size([8]), True)
    """

    def __init__(
        self,
        preprocessor: FrontEnd,
        encoder: AcousticEncoder,
        decoder: SpeakerDecoder,
        labels: Sequence[str] | None = None,
        spec_augment: SpecAugment | None = None,
        loss: AngularSoftmaxLoss | None = None,
    ) -> None:
        labels = labels if labels is not None else [str(index) for index in range(decoder.num_classes)]
        super().__init__(preprocessor, encoder, labels, decoder.num_classes, spec_augment)
        if loss is not None and not decoder.angular:
            raise ConfigError("an angular loss needs cosines", hint="set decoder.angular to true")
        self.decoder = decoder
        self.loss = loss

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``audio`` (B, T) and ``length`` (B,) in samples."""
        return self.preprocessor.input_types

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``logits`` (B, C) and ``embedding`` (B, E)."""
        return self.decoder.output_types

    @nt.typed
    def forward(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, C) and embeddings (B, E)."""
        features, length = self.features(audio, length)
        encoded, length = self.encoder(features=features, length=length)
        logits, embedding = self.decoder(encoded=encoded, length=length)
        return logits, embedding

    def logits(self, audio: Tensor, length: Tensor) -> Tensor:
        """Return logits (B, C) of ``audio`` (B, T) of ``length`` (B,) samples."""
        logits: Tensor = self(audio=audio, length=length)[0]
        return logits

    def criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of ``logits`` (B, C) where ``targets`` (B,) are right."""
        if self.loss is None:
            return F.cross_entropy(logits.float(), targets)
        loss: Tensor = self.loss(logits=logits, labels=targets)
        return loss

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities (B, C) that ``logits`` (B, C) stand for; cosines are scaled as in training."""
        return super().probabilities(logits if self.loss is None else self.loss.scale * logits)

    def get_embeddings(
        self,
        audio: Any,
        *,
        batch_size: int = 16,
        sample_rate: int | None = None,
        channel: int | str | None = None,
    ) -> Tensor:
        """Return the embedding of each audio, (N, E), in the order given.

        Args:
            audio: Whatever :meth:`classify` takes.
            batch_size: Most audios in a batch.
            sample_rate: Rate of arrays and tensors that come without one, Hz; the model's if not given.
            channel: Which channel of audios that have several: a number, or ``average``.

        Raises:
            DataError: An audio is damaged.
        """
        model = self.for_inference()
        found = self._over(
            lambda samples, length: model(audio=samples, length=length)[1].float().cpu(),
            audio,
            batch_size=batch_size,
            sample_rate=sample_rate,
            channel=channel,
        )
        for _, result in found:
            if isinstance(result, DataError):
                raise result
        return torch.stack([result for _, result in found if isinstance(result, Tensor)])

    def get_embedding(self, audio: Any, **options: Any) -> Tensor:
        """Return the embedding (E,) of one audio; ``options`` as for :meth:`get_embeddings`.

        Raises:
            DataError: The audio is damaged, or ``audio`` stands for several.
        """
        embeddings = self.get_embeddings(audio, **options)
        if len(embeddings) != 1:
            raise DataError(f"these are {len(embeddings)} audios, not one", hint="use get_embeddings")
        return embeddings[0]

    def speaker_similarity(self, first: Any, second: Any, **options: Any) -> float:
        """Return how alike the speakers of two audios are, from 0 to 1: ``(cosine + 1) / 2`` of their embeddings."""
        one, other = (self.get_embedding(audio, **options) for audio in (first, second))
        return (float(F.cosine_similarity(one, other, dim=0)) + 1) / 2

    def verify_speakers(self, first: Any, second: Any, threshold: float = 0.7, **options: Any) -> bool:
        """Return whether two audios are of one speaker.

        Args:
            first: An audio; whatever :meth:`classify` takes.
            second: Another.
            threshold: The least :meth:`speaker_similarity` of one speaker.
            options: As for :meth:`get_embeddings`.
        """
        return self.speaker_similarity(first, second, **options) >= threshold

    @classmethod
    def from_nvidia(cls, config: Mapping[str, Any], artifacts: Mapping[str, Path]) -> dict[str, Any]:
        """Return our configuration for that of NVIDIA's ``EncDecSpeakerLabelModel``."""
        from nemo_asr.models.nvidia_classifiers import speaker_config

        return speaker_config(config)

    def nvidia_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return NVIDIA's weights under our names."""
        from nemo_asr.models.nvidia_classifiers import classifier_weights

        return classifier_weights(state, self.state_dict().keys())

    def to_nvidia(self) -> NvidiaModel:
        """Return this model in NVIDIA's words."""
        from nemo_asr.export.nvidia_classifiers import speaker_model

        return speaker_model(self)
