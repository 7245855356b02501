"""Recognition with connectionist temporal classification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nemo_asr.data.batch import SpeechBatch
from nemo_asr.decoding.ctc_greedy import ctc_greedy_search
from nemo_asr.decoding.hypothesis import Hypothesis
from nemo_asr.losses.ctc import CTCLoss
from nemo_asr.models.recognizer import SpeechRecognizer
from nemo_asr.modules.ctc_decoder import CTCDecoder
from nemo_asr.modules.encoder import AcousticEncoder
from nemo_asr.modules.spec_augment import SpecAugment
from nemo_asr.tokenizers.base import Tokenizer
from nemo_core import types as nt
from nemo_core.audio.mel import MelSpectrogram
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_core.models import NvidiaModel

__all__ = ["CTCModel"]


class CTCModel(SpeechRecognizer):
    """Features, an encoder, and a CTC decoder over the tokens of a tokenizer and a blank.

    Args:
        preprocessor: Audio to features.
        encoder: Features to encoded frames.
        decoder: Encoded frames to log-probabilities.
        tokenizer: Text to tokens and back; has as many tokens as the decoder.
        spec_augment: What features go through in training.
        ctc_reduction: How the losses of a batch are reduced; see :class:`~nemo_asr.losses.ctc.CTCLoss`.

    Example:
        >>> import torch
        >>> from nemo_asr.modules import ConvASREncoder
        >>> from nemo_asr.tokenizers import CharTokenizer
        >>> model = CTCModel(
        ...     preprocessor=MelSpectrogram(8000, features=40),
        ...     encoder=ConvASREncoder([{"filters": 32, "kernel": 11, "stride": 2}], feat_in=40),
        ...     decoder=CTCDecoder(32, vocabulary=3),
        ...     tokenizer=CharTokenizer(" no"),
        ... )
        >>> log_probs, length = model(audio=torch.randn(1, 8000), length=torch.tensor([8000]))
        >>> log_probs.shape, length.tolist()
        (torch.Size([1, 56, 4]), [50])
    """

    encoder: AcousticEncoder

    def __init__(
        self,
        preprocessor: MelSpectrogram,
        encoder: AcousticEncoder,
        decoder: CTCDecoder,
        tokenizer: Tokenizer,
        spec_augment: SpecAugment | None = None,
        ctc_reduction: str = "mean_batch",
    ) -> None:
        super().__init__()
        if decoder.vocabulary_size != len(tokenizer):
            raise ConfigError(
                f"the decoder has {decoder.vocabulary_size} tokens, but the tokenizer {len(tokenizer)}",
                hint="set decoder.vocabulary to the tokenizer's labels, or to how many there are",
            )
        self.preprocessor = preprocessor
        self.encoder = encoder
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.spec_augment = spec_augment
        self.ctc_reduction = ctc_reduction
        self.loss = CTCLoss(blank=decoder.blank, reduction=ctc_reduction)

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``audio`` (B, T) and ``length`` (B,) in samples."""
        return self.preprocessor.input_types

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``log_probs`` (B, T', V + 1) and ``length`` (B,) in encoder frames."""
        return {**self.decoder.output_types, "length": nt.NeuralType(("B",), nt.Lengths())}

    @property
    def frame_stride(self) -> float:
        """Seconds from one encoder frame to the next."""
        return self.preprocessor.frame_stride * self.encoder.stride

    @nt.typed
    def forward(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities (B, T', V + 1) and their lengths (B,)."""
        features, length = self.preprocessor(audio=audio, length=length)
        if self.spec_augment is not None:
            features = self.spec_augment(features=features, length=length)
        encoded, length = self.encoder(features=features, length=length)
        return self.decoder(encoded=encoded), length

    def loss_on(self, batch: SpeechBatch) -> Tensor:
        """Return the CTC loss on ``batch``."""
        log_probs, length = self(audio=batch.audio, length=batch.length)
        return self._loss(batch, log_probs, length)

    def loss_and_hypotheses(self, batch: SpeechBatch) -> tuple[Tensor, list[Hypothesis]]:
        """Return loss and hypotheses of one pass through the network."""
        log_probs, length = self(audio=batch.audio, length=batch.length)
        return self._loss(batch, log_probs, length), self._hypotheses(batch.length, log_probs, length, False)

    def recognize(self, audio: Tensor, length: Tensor, *, timestamps: bool = False) -> list[Hypothesis]:
        """Return the greedy transcripts of ``audio`` (B, T)."""
        log_probs, frames = self(audio=audio, length=length)
        return self._hypotheses(length, log_probs, frames, timestamps)

    def _loss(self, batch: SpeechBatch, log_probs: Tensor, length: Tensor) -> Tensor:
        targets, target_length = self.encode_texts(batch)
        return self.loss(log_probs=log_probs, targets=targets, input_length=length, target_length=target_length)

    def _hypotheses(self, samples: Tensor, log_probs: Tensor, frames: Tensor, timestamps: bool) -> list[Hypothesis]:
        paths = ctc_greedy_search(log_probs, frames, self.decoder.blank)
        return self.hypotheses(paths, samples, self.frame_stride, timestamps)

    @classmethod
    def from_nvidia(cls, config: Mapping[str, Any], artifacts: Mapping[str, Path]) -> dict[str, Any]:
        """Return our configuration for that of NVIDIA's ``EncDecCTCModel`` and ``EncDecCTCModelBPE``."""
        from nemo_asr.models.nvidia import ctc_config

        return ctc_config(config)

    def nvidia_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return NVIDIA's weights under our names."""
        from nemo_asr.models.nvidia import ctc_weights

        return ctc_weights(state, self.state_dict().keys())

    def to_nvidia(self) -> NvidiaModel:
        """Return this model in NVIDIA's words."""
        from nemo_asr.export.nvidia_ctc import ctc_model

        return ctc_model(self)
