"""Recognition with a transducer and CTC over one encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from nemo_asr.data.batch import SpeechBatch
from nemo_asr.decoding.ctc_greedy import ctc_greedy_search
from nemo_asr.decoding.hypothesis import Hypothesis
from nemo_asr.losses.ctc import CTCLoss
from nemo_asr.losses.transducer import TransducerLoss
from nemo_asr.models.transducer import TransducerModel
from nemo_asr.modules.ctc_decoder import CTCDecoder
from nemo_asr.modules.encoder import AcousticEncoder
from nemo_asr.modules.joint import RNNTJoint
from nemo_asr.modules.predictor import Predictor
from nemo_asr.modules.spec_augment import SpecAugment
from nemo_asr.tokenizers.base import Tokenizer
from nemo_core.audio.front_end import FrontEnd
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_core.models import NvidiaModel

__all__ = ["DECODERS", "HybridModel"]

DECODERS = ("transducer", "ctc")


class HybridModel(TransducerModel):
    """A transducer whose encoder has a CTC decoder too; both are trained, and either can recognise.

    CTC makes training converge faster, and recognition with it is faster, that with the transducer better (Noroozi et
    al., 2024, arXiv:2312.17279).

    Args:
        preprocessor: Audio to features.
        encoder: Features to encoded frames.
        predictor: Labels to what is predicted after them.
        joint: Frames and predictions to logits of labels, blanks and durations.
        ctc_decoder: Encoded frames to log-probabilities.
        tokenizer: Text to tokens and back; has as many tokens as predictor and decoder.
        loss: Minus the log-probability of a text, of the transducer.
        spec_augment: What features go through in training.
        max_symbols: Most tokens that greedy decoding takes from one frame; None: any number.
        fused: See :class:`~nemo_asr.models.transducer.TransducerModel`.
        ctc_weight: Weight of the CTC loss; that of the transducer's is ``1 - ctc_weight``.
        ctc_reduction: How the CTC losses of a batch are reduced; see :class:`~nemo_asr.losses.ctc.CTCLoss`.
        decoder: Which decoder recognises: ``transducer`` or ``ctc``. It can be set later too, as ``model.decoder``.

    Example:
        >>> import torch
        >>> from nemo_asr.losses import TDTLoss
        >>> from nemo_asr.modules import ConvASREncoder, LSTMPredictor, MelSpectrogram
        >>> from nemo_asr.tokenizers import CharTokenizer
        >>> sizes = {"encoder_hidden": 32, "pred_hidden": 16, "joint_hidden": 24}
        >>> model = HybridModel(
        ...     preprocessor=MelSpectrogram(8000, features=40),
        ...     encoder=ConvASREncoder([{"filters": 32, "kernel": 11, "stride": 2}], feat_in=40),
        ...     predictor=LSTMPredictor({"pred_hidden": 16}, vocab_size=3),
        ...     joint=RNNTJoint(sizes, num_classes=3, num_extra_outputs=2),
        ...     ctc_decoder=CTCDecoder(32, vocabulary=3),
        ...     tokenizer=CharTokenizer(" no"),
        ...     loss=TDTLoss(blank=3, durations=[1, 2]),
        ...     decoder="ctc",
        ... )
        >>> len(model.transcribe(torch.randn(8000)))
        1
    """

    def __init__(
        self,
        preprocessor: FrontEnd,
        encoder: AcousticEncoder,
        predictor: Predictor,
        joint: RNNTJoint,
        ctc_decoder: CTCDecoder,
        tokenizer: Tokenizer,
        loss: TransducerLoss,
        spec_augment: SpecAugment | None = None,
        max_symbols: int | None = 10,
        fused: bool = False,
        ctc_weight: float = 0.3,
        ctc_reduction: str = "mean_batch",
        decoder: Literal["transducer", "ctc"] = "transducer",
    ) -> None:
        super().__init__(preprocessor, encoder, predictor, joint, tokenizer, loss, spec_augment, max_symbols, fused)
        if ctc_decoder.vocabulary_size != len(tokenizer):
            raise ConfigError(
                f"the CTC decoder has {ctc_decoder.vocabulary_size} tokens, but the tokenizer {len(tokenizer)}",
                hint="set ctc_decoder.vocabulary to the tokenizer's labels, or to how many there are",
            )
        if not 0 <= ctc_weight <= 1:
            raise ConfigError(f"ctc_weight is {ctc_weight}", hint="give 0 to 1")
        self.ctc_decoder = ctc_decoder
        self.ctc_weight = ctc_weight
        self.ctc_loss = CTCLoss(blank=ctc_decoder.blank, reduction=ctc_reduction)
        self.decoder = decoder

    @property
    def decoder(self) -> str:
        """Which decoder recognises: ``transducer`` or ``ctc``."""
        return self._decoder

    @decoder.setter
    def decoder(self, name: str) -> None:
        if name not in DECODERS:
            raise ConfigError(f"decoder {name!r} is not known", hint=f"one of {', '.join(DECODERS)}")
        self._decoder = name

    def _loss(self, batch: SpeechBatch, encoded: Tensor, frames: Tensor) -> Tensor:
        targets, target_length = self.encode_texts(batch)
        transducer = self._transducer_loss(encoded, frames, targets, target_length)
        ctc: Tensor = self.ctc_loss(
            log_probs=self.ctc_decoder(encoded=encoded),
            targets=targets,
            input_length=frames,
            target_length=target_length,
        )
        return (1 - self.ctc_weight) * transducer + self.ctc_weight * ctc

    def _hypotheses(self, samples: Tensor, encoded: Tensor, frames: Tensor, timestamps: bool) -> list[Hypothesis]:
        if self.decoder == "transducer":
            return super()._hypotheses(samples, encoded, frames, timestamps)
        paths = ctc_greedy_search(self.ctc_decoder(encoded=encoded), frames, self.ctc_decoder.blank)
        return self.hypotheses(paths, samples, self.frame_stride, timestamps)

    @classmethod
    def from_nvidia(cls, config: Mapping[str, Any], artifacts: Mapping[str, Path]) -> dict[str, Any]:
        """Return our configuration for that of ``EncDecHybridRNNTCTCModel`` and ``EncDecHybridRNNTCTCBPEModel``."""
        from nemo_asr.models.nvidia_transducer import hybrid_config

        return hybrid_config(config)

    def to_nvidia(self) -> NvidiaModel:
        """Return this model in NVIDIA's words."""
        from nemo_asr.export.nvidia_transducer import hybrid_model

        return hybrid_model(self)
