"""The models that both sides run: small FastConformers with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from nemo_asr.losses import RNNTLoss, TDTLoss
from nemo_asr.models import CTCModel, SpeechRecognizer, TransducerModel
from nemo_asr.modules import ConformerEncoder, CTCDecoder, LSTMPredictor, MelSpectrogram, RNNTJoint, SpecAugment
from nemo_asr.tokenizers import CharTokenizer
from nemo_core.models import export

__all__ = ["VOCABULARY", "Kind", "fastconformer", "write_both"]

Kind = Literal["ctc", "rnnt", "tdt"]
VOCABULARY = 1024
_DURATIONS = (0, 1, 2, 3, 4)
_HIDDEN = 640


def fastconformer(kind: Kind) -> SpeechRecognizer:
    """Return a model of the small size of its recipe, with ``VOCABULARY`` tokens."""
    torch.manual_seed(0)
    encoder = ConformerEncoder(
        feat_in=80,
        n_layers=16,
        d_model=176,
        n_heads=4,
        subsampling="dw_striding",
        subsampling_factor=8,
        subsampling_conv_channels=256,
        conv_kernel_size=9,
        dropout=0.1,
        dropout_pre_encoder=0.1,
        dropout_emb=0.0,
        dropout_att=0.1,
    )
    # A character for each of the tokens, so that nothing has to be learned.
    tokenizer = CharTokenizer([chr(0x4E00 + index) for index in range(VOCABULARY)])
    preprocessor = MelSpectrogram(16000, window_size=0.025, window_stride=0.01, n_fft=512, features=80, pad_to=0)
    spec_augment = SpecAugment(freq_masks=2, freq_width=27, time_masks=10, time_width=0.05)
    if kind == "ctc":
        decoder = CTCDecoder(encoder.d_model, VOCABULARY)
        return CTCModel(preprocessor, encoder, decoder, tokenizer, spec_augment, ctc_reduction="mean_volume")
    extra = len(_DURATIONS) if kind == "tdt" else 0
    return TransducerModel(
        preprocessor,
        encoder,
        LSTMPredictor({"pred_hidden": _HIDDEN, "pred_rnn_layers": 1, "dropout": 0.2}, vocab_size=VOCABULARY),
        RNNTJoint(
            {"encoder_hidden": encoder.d_model, "pred_hidden": _HIDDEN, "joint_hidden": _HIDDEN, "dropout": 0.2},
            num_classes=VOCABULARY,
            num_extra_outputs=extra,
        ),
        tokenizer,
        TDTLoss(VOCABULARY, _DURATIONS) if kind == "tdt" else RNNTLoss(VOCABULARY),
        spec_augment,
    )


def write_both(model: SpeechRecognizer, folder: Path) -> None:
    """Write ``ours.nemo``, and the same model as ``nvidia.nemo``."""
    model.save(folder / "ours.nemo")
    export(model, folder / "nvidia.nemo", "nvidia-nemo")
