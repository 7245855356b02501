"""Recognition with transducers: RNN-T, TDT, multi-blank and HAT."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nemo_asr.data.batch import SpeechBatch
from nemo_asr.decoding.hypothesis import Hypothesis
from nemo_asr.decoding.transducer_greedy import TransducerGreedy
from nemo_asr.losses.transducer import TransducerLoss
from nemo_asr.models.recognizer import SpeechRecognizer
from nemo_asr.modules.encoder import AcousticEncoder
from nemo_asr.modules.hat_joint import HATJoint
from nemo_asr.modules.joint import RNNTJoint
from nemo_asr.modules.predictor import Predictor
from nemo_asr.modules.spec_augment import SpecAugment
from nemo_asr.tokenizers.base import Tokenizer
from nemo_core import types as nt
from nemo_core.audio.front_end import FrontEnd
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_core.models import NvidiaModel

__all__ = ["TransducerModel"]


class TransducerModel(SpeechRecognizer):
    """Features, an encoder, a predictor that knows the labels so far, and a joint network that says which comes next.

    Which kind of transducer it is follows from the loss: :class:`~nemo_asr.losses.rnnt.RNNTLoss`, with
    ``factorized_blank`` and a :class:`~nemo_asr.modules.hat_joint.HATJoint` also HAT,
    :class:`~nemo_asr.losses.rnnt.TDTLoss` or :class:`~nemo_asr.losses.rnnt.MultiblankRNNTLoss`.

    Args:
        preprocessor: Audio to features.
        encoder: Features to encoded frames.
        predictor: Labels to what is predicted after them.
        joint: Frames and predictions to logits of labels, blanks and durations.
        tokenizer: Text to tokens and back; has as many tokens as the predictor.
        loss: Minus the log-probability of a text.
        spec_augment: What features go through in training.
        max_symbols: Most tokens that greedy decoding takes from one frame; None: any number.
        fused: Whether the loss has the logits made a few frames at a time, and once more in the backward pass. That is
            slower, and saves the memory of the logits of a whole batch, which grows with vocabulary, frames and labels.

    Example:
        >>> import torch
        >>> from nemo_asr.losses import RNNTLoss
        >>> from nemo_asr.modules import ConvASREncoder, LSTMPredictor, MelSpectrogram
        >>> from nemo_asr.tokenizers import CharTokenizer
        >>> model = TransducerModel(
        ...     preprocessor=MelSpectrogram(8000, features=40),
        ...     encoder=ConvASREncoder([{"filters": 32, "kernel": 11, "stride": 2}], feat_in=40),
        ...     predictor=LSTMPredictor({"pred_hidden": 16}, vocab_size=3),
        ...     joint=RNNTJoint({"encoder_hidden": 32, "pred_hidden": 16, "joint_hidden": 24}, num_classes=3),
        ...     tokenizer=CharTokenizer(" no"),
        ...     loss=RNNTLoss(blank=3),
        ... )
        >>> encoded, length = model(audio=torch.randn(1, 8000), length=torch.tensor([8000]))
        >>> encoded.shape, length.tolist()
        (torch.Size([1, 32, 56]), [50])
    """

    encoder: AcousticEncoder

    def __init__(
        self,
        preprocessor: FrontEnd,
        encoder: AcousticEncoder,
        predictor: Predictor,
        joint: RNNTJoint,
        tokenizer: Tokenizer,
        loss: TransducerLoss,
        spec_augment: SpecAugment | None = None,
        max_symbols: int | None = 10,
        fused: bool = False,
    ) -> None:
        super().__init__()
        _check_sizes(encoder, predictor, joint, tokenizer, loss)
        self.preprocessor = preprocessor
        self.encoder = encoder
        self.predictor = predictor
        self.joint = joint
        self.tokenizer = tokenizer
        self.loss = loss
        self.spec_augment = spec_augment
        self.max_symbols = max_symbols
        self.fused = fused

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``audio`` (B, T) and ``length`` (B,) in samples."""
        return self.preprocessor.input_types

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``encoded`` (B, D, T') and ``length`` (B,) in encoder frames."""
        return self.encoder.output_types

    @property
    def frame_stride(self) -> float:
        """Seconds from one encoder frame to the next."""
        return self.preprocessor.frame_stride * self.encoder.stride

    @nt.typed
    def forward(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return encoded frames (B, D, T') and their lengths (B,)."""
        features, length = self.preprocessor(audio=audio, length=length)
        if self.spec_augment is not None:
            features = self.spec_augment(features=features, length=length)
        encoded, length = self.encoder(features=features, length=length)
        return encoded, length

    def loss_on(self, batch: SpeechBatch) -> Tensor:
        """Return the loss on ``batch``."""
        return self._loss(batch, *self(audio=batch.audio, length=batch.length))

    def loss_and_hypotheses(self, batch: SpeechBatch) -> tuple[Tensor, list[Hypothesis]]:
        """Return loss and hypotheses of one pass through the encoder."""
        encoded, frames = self(audio=batch.audio, length=batch.length)
        return self._loss(batch, encoded, frames), self._hypotheses(batch.length, encoded, frames, False)

    def recognize(self, audio: Tensor, length: Tensor, *, timestamps: bool = False) -> list[Hypothesis]:
        """Return the greedy transcripts of ``audio`` (B, T)."""
        encoded, frames = self(audio=audio, length=length)
        return self._hypotheses(length, encoded, frames, timestamps)

    @property
    def greedy(self) -> TransducerGreedy:
        """Greedy decoding with the networks of this model."""
        return TransducerGreedy(
            self.predictor,
            self.joint,
            blank=self.loss.blank,
            durations=getattr(self.loss, "durations", ()),
            big_blank_durations=getattr(self.loss, "big_blank_durations", ()),
            max_symbols=self.max_symbols,
            factorized_blank=getattr(self.loss, "factorized_blank", False),
        )

    def _loss(self, batch: SpeechBatch, encoded: Tensor, frames: Tensor) -> Tensor:
        targets, target_length = self.encode_texts(batch)
        return self._transducer_loss(encoded, frames, targets, target_length)

    def _transducer_loss(self, encoded: Tensor, frames: Tensor, targets: Tensor, target_length: Tensor) -> Tensor:
        predicted = self.predictor(targets=targets, target_length=target_length)
        encoded = encoded.transpose(1, 2)
        if self.fused:
            return self.loss.fused(self.joint, encoded, predicted, targets, frames, target_length)
        logits = self.joint(encoded=encoded, predicted=predicted)
        loss: Tensor = self.loss(logits=logits, targets=targets, input_length=frames, target_length=target_length)
        return loss

    def _hypotheses(self, samples: Tensor, encoded: Tensor, frames: Tensor, timestamps: bool) -> list[Hypothesis]:
        return self.hypotheses(self.greedy(encoded, frames), samples, self.frame_stride, timestamps)

    @classmethod
    def from_nvidia(cls, config: Mapping[str, Any], artifacts: Mapping[str, Path]) -> dict[str, Any]:
        """Return our configuration for that of NVIDIA's ``EncDecRNNTModel`` and ``EncDecRNNTBPEModel``."""
        from nemo_asr.models.nvidia_transducer import transducer_config

        return transducer_config(config)

    def nvidia_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return NVIDIA's weights under our names."""
        from nemo_asr.models.nvidia_transducer import transducer_weights

        return transducer_weights(state, self.state_dict().keys())

    def to_nvidia(self) -> NvidiaModel:
        """Return this model in NVIDIA's words."""
        from nemo_asr.export.nvidia_transducer import transducer_model

        return transducer_model(self)


def _check_sizes(
    encoder: AcousticEncoder, predictor: Predictor, joint: RNNTJoint, tokenizer: Tokenizer, loss: TransducerLoss
) -> None:
    """Raise ConfigError where two parts do not fit."""
    labels = len(tokenizer)
    blank = labels + len(getattr(loss, "big_blank_durations", ()))
    outputs = blank + 1 + len(getattr(loss, "durations", ()))
    for what, found, other, wanted, key in (
        ("tokens of the predictor", predictor.vocabulary_size, "tokenizer", labels, "predictor.vocab_size"),
        ("tokens of the joint network", joint.num_classes, "tokenizer", labels, "joint.num_classes"),
        ("the loss's blank", loss.blank, "joint network", blank, "loss.blank"),
        ("outputs of the joint network", joint.num_outputs, "loss", outputs, "joint.num_extra_outputs"),
        ("size of the joint network's frames", joint.enc.in_features, "encoder", encoder.feat_out, "encoder_hidden"),
        ("size of its predictions", joint.pred.in_features, "predictor", predictor.output_size, "pred_hidden"),
    ):
        if found != wanted:
            raise ConfigError(f"{what}: {found}, but by the {other} it is {wanted}", hint=f"set {key} to {wanted}")
    if isinstance(joint, HATJoint) != getattr(loss, "factorized_blank", False):
        raise ConfigError("a HATJoint and a loss with factorized_blank go together", hint="use both, or neither")
