"""What all models that put a whole utterance into a class share."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nemo_asr.data.batch import SpeechBatch
from nemo_asr.models.scores import LabelScores
from nemo_asr.models.speech_model import SpeechModel
from nemo_core.errors import ConfigError, DataError, NemoError

if TYPE_CHECKING:
    from nemo_asr.modules.encoder import AcousticEncoder
    from nemo_asr.modules.spec_augment import SpecAugment
    from nemo_core.audio.front_end import FrontEnd

__all__ = ["AudioClassifier", "Classification"]


@dataclass(frozen=True, slots=True)
class Classification:
    """Which class an utterance is in.

    Attributes:
        label: The most probable class; empty where there is an ``error``.
        probability: How probable it is.
        probabilities: How probable each class is, in the order of the model's labels.
        source: Which audio this is.
        error: Why the audio could not be classified.
    """

    label: str
    probability: float = 0.0
    probabilities: tuple[float, ...] = field(default=(), repr=False)
    source: str = ""
    error: NemoError | None = None


class AudioClassifier(SpeechModel[LabelScores], abc.ABC):
    """Base of the models that put a whole utterance into a class.

    The text of an utterance is its label. A subclass says how audio becomes logits (:meth:`logits`) and what the loss
    on them is (:meth:`criterion`). Here are the accuracy of evaluation, ``val_accuracy`` and ``test_accuracy``, and
    :meth:`classify`.

    Args:
        preprocessor: Audio to features.
        encoder: Features to encoded frames.
        labels: The classes, in the order of the decoder's outputs.
        num_classes: How many the decoder has.
        spec_augment: What features go through in training.
    """

    headline = "accuracy"

    def __init__(
        self,
        preprocessor: FrontEnd,
        encoder: AcousticEncoder,
        labels: Sequence[str],
        num_classes: int,
        spec_augment: SpecAugment | None = None,
    ) -> None:
        super().__init__()
        if len(labels) != num_classes:
            raise ConfigError(
                f"the decoder has {num_classes} classes, but there are {len(labels)} labels",
                hint="set decoder.num_classes to how many labels there are",
            )
        if len(set(labels)) != len(labels):
            raise ConfigError("a label is there twice")
        self.preprocessor = preprocessor
        self.encoder = encoder
        self.labels = list(labels)
        self.spec_augment = spec_augment

    @abc.abstractmethod
    def logits(self, audio: Tensor, length: Tensor) -> Tensor:
        """Return logits (B, C) of ``audio`` (B, T) of ``length`` (B,) samples."""

    @abc.abstractmethod
    def criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of ``logits`` (B, C) where ``targets`` (B,) are right."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities (B, C) that ``logits`` (B, C) stand for."""
        return logits.float().softmax(dim=1)

    @property
    def sees_padding(self) -> bool:
        """Whether logits depend on padding, so that audios of different length must not share a batch."""
        return self.preprocessor.sees_padding

    def features(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, D, T) and their lengths (B,), masked in training."""
        features, length = self.preprocessor(audio=audio, length=length)
        if self.spec_augment is not None:
            features = self.spec_augment(features=features, length=length)
        return features, length

    def loss_on(self, batch: SpeechBatch) -> Tensor:
        """Return the loss on ``batch``."""
        return self.criterion(self.logits(batch.audio, batch.length), self.targets(batch))

    def new_scores(self) -> LabelScores:
        """Return the accuracy of nothing yet."""
        return LabelScores(self.device)

    def score(self, scores: LabelScores, batch: SpeechBatch) -> None:
        """Add the loss and the accuracy on ``batch`` to ``scores``."""
        logits, targets = self.logits(batch.audio, batch.length), self.targets(batch)
        scores.update(logits, targets, self.criterion(logits, targets))

    def targets(self, batch: SpeechBatch) -> Tensor:
        """Return the class (B,) of each utterance.

        Raises:
            DataError: A label is not one of the model's; the message says where it comes from.
        """
        place = {label: index for index, label in enumerate(self.labels)}
        for text, name in zip(batch.texts, batch.names, strict=True):
            if text not in place:
                raise DataError(f"{name}: the label {text!r} is none of the model's {len(place)}", hint=_some(place))
        return torch.tensor([place[text] for text in batch.texts], device=batch.audio.device)

    def classify(
        self,
        audio: Any,
        *,
        batch_size: int = 16,
        sample_rate: int | None = None,
        channel: int | str | None = None,
    ) -> list[Classification]:
        """Return the class of each audio, in the order given.

        Args:
            audio: A path, glob, folder, manifest, bytes, open binary file, array or tensor (T,) or (T, C), a pair
                (samples, rate), or a list of any of these.
            batch_size: Most audios in a batch.
            sample_rate: Rate of arrays and tensors that come without one, Hz; the model's if not given.
            channel: Which channel of audios that have several: a number, or ``average``.

        Returns:
            One for each; that of a damaged audio has an empty label and the ``error``.
        """
        model = self.for_inference()
        found = self._over(
            lambda samples, length: model.probabilities(model.logits(samples, length)).cpu(),
            audio,
            batch_size=batch_size,
            sample_rate=sample_rate,
            channel=channel,
        )
        return [self._classification(name, result) for name, result in found]

    def _classification(self, name: str, result: Tensor | DataError) -> Classification:
        if isinstance(result, DataError):
            return Classification("", source=name, error=result)
        best = int(result.argmax())
        return Classification(self.labels[best], float(result[best]), tuple(result.tolist()), name)

    def _over(self, infer: Any, audio: Any, **options: Any) -> list[tuple[str, Tensor | DataError]]:
        from nemo_asr.models.batches import over_audio

        return over_audio(
            infer, audio, model_rate=self.sample_rate, device=self.device, same_length=self.sees_padding, **options
        )


def _some(labels: dict[str, int]) -> str:
    shown = ", ".join(map(repr, list(labels)[:5]))
    return f"they are {shown}" + (", ..." if len(labels) > 5 else "")
