"""Models of ours that NVIDIA NeMo did not make, in forms that its archives do not have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nemo_asr.losses import AngularSoftmaxLoss, RNNTLoss
from nemo_asr.models import CTCModel, MultitaskModel, SpeakerModel, SpeechModel, TransducerModel
from nemo_asr.modules import (
    ConformerEncoder,
    ConvASREncoder,
    CTCDecoder,
    LSTMPredictor,
    MelSpectrogram,
    RNNTJoint,
    SpeakerDecoder,
    TransformerDecoder,
)
from nemo_asr.prompts import CanaryPrompt
from nemo_asr.tokenizers import (
    AggregateTokenizer,
    CanaryTokenizer,
    CharTokenizer,
    SentencePieceTokenizer,
    SpecialTokens,
)
from nemo_asr.tokenizers.base import Tokenizer

__all__ = ["OUR_MODELS"]

WIDTH = 32


def features(bins: int = 80) -> MelSpectrogram:
    return MelSpectrogram(window_size=0.025, n_fft=512, features=bins, pad_to=0)


def fastconformer(bins: int = 80) -> ConformerEncoder:
    return ConformerEncoder(
        bins,
        2,
        WIDTH,
        subsampling="dw_striding",
        subsampling_factor=8,
        subsampling_conv_channels=16,
        conv_kernel_size=9,
    )


def ctc(tokenizer: Tokenizer) -> CTCModel:
    return CTCModel(features(), fastconformer(), CTCDecoder(WIDTH, vocabulary=len(tokenizer)), tokenizer)


def transducer(tokenizer: Tokenizer) -> TransducerModel:
    count = len(tokenizer)
    joint = RNNTJoint({"encoder_hidden": WIDTH, "pred_hidden": 24, "joint_hidden": 20}, count)
    predictor = LSTMPredictor({"pred_hidden": 24}, count)
    return TransducerModel(features(), fastconformer(), predictor, joint, tokenizer, RNNTLoss(count), max_symbols=5)


def aggregate(model: Path) -> AggregateTokenizer:
    return AggregateTokenizer({"en": SentencePieceTokenizer(model), "de": SentencePieceTokenizer(model)})


def canary(model: Path) -> MultitaskModel:
    tokenizer = CanaryTokenizer({"spl_tokens": SpecialTokens(["en", "de"]), "en": SentencePieceTokenizer(model)})
    decoder = TransformerDecoder(
        len(tokenizer), WIDTH, num_layers=2, inner_size=64, num_attention_heads=4, max_sequence_length=64, pre_ln=True
    )
    options = {"max_generation_delta": 20, "min_duration": 1.0}
    return MultitaskModel(features(128), fastconformer(128), decoder, tokenizer, CanaryPrompt(), **options)


def speaker(_: Path) -> SpeakerModel:
    encoder = ConvASREncoder([{"filters": WIDTH, "kernel": 5, "separable": True, "se": True}], feat_in=80)
    decoder = SpeakerDecoder(WIDTH, num_classes=3, emb_sizes=16, pool_mode="attention", angular=True)
    return SpeakerModel(features(), encoder, decoder, ["ann", "bob", "eve"], loss=AngularSoftmaxLoss(30, 0.2))


#: Name -> function of the path of a SentencePiece model.
OUR_MODELS: dict[str, Callable[[Path], SpeechModel]] = {
    "ours: characters": lambda model: ctc(CharTokenizer(" abcdefghijklmnopqrstuvwxyz'", unknown="skip")),
    "ours: subwords": lambda model: ctc(SentencePieceTokenizer(model)),
    "ours: two languages": lambda model: ctc(aggregate(model)),
    "ours: transducer": lambda model: transducer(SentencePieceTokenizer(model)),
    "ours: prompts": canary,
    "ours: normalised speakers": speaker,
}
