"""Transducers in NVIDIA NeMo's words; the other direction is :mod:`nemo_asr.models.nvidia_transducer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_asr.export.nvidia import acoustic_sections, all_settings, check_model, data_sections, section, weights
from nemo_asr.export.nvidia_ctc import ctc_decoder_section
from nemo_asr.export.nvidia_tokenizers import tokenizer_sections
from nemo_asr.losses.nvidia import transducer_loss_section
from nemo_core.models import NvidiaModel

if TYPE_CHECKING:
    from nemo_asr.models.hybrid import HybridModel
    from nemo_asr.models.transducer import TransducerModel

__all__ = ["hybrid_model", "transducer_model"]

_MODELS = "nemo.collections.asr.models"
_TRANSDUCER = (f"{_MODELS}.rnnt_models.EncDecRNNTModel", f"{_MODELS}.rnnt_bpe_models.EncDecRNNTBPEModel")
_HYBRID = (
    f"{_MODELS}.hybrid_rnnt_ctc_models.EncDecHybridRNNTCTCModel",
    f"{_MODELS}.hybrid_rnnt_ctc_bpe_models.EncDecHybridRNNTCTCBPEModel",
)
_FUSED_BATCH = 4


def transducer_model(model: TransducerModel) -> NvidiaModel:
    """Return NVIDIA's words for a transducer."""
    return _said(model, _TRANSDUCER, {})


def hybrid_model(model: HybridModel) -> NvidiaModel:
    """Return NVIDIA's words for a transducer with a CTC decoder."""
    check_model(model)
    auxiliary = {
        "ctc_loss_weight": model.ctc_weight,
        "ctc_reduction": model.ctc_loss.reduction,
        "use_cer": False,
        "decoder": ctc_decoder_section(model.ctc_decoder, model.tokenizer),
        "decoding": {"strategy": "greedy_batch"},
    }
    return _said(model, _HYBRID, {"aux_ctc": auxiliary})


def _said(model: TransducerModel, targets: tuple[str, str], more: dict[str, Any]) -> NvidiaModel:
    artifacts: dict[str, bytes] = {}
    joint = section(model.joint, "joint")
    config = {
        **acoustic_sections(model),
        **tokenizer_sections(model.tokenizer, artifacts),
        **data_sections(model, use_start_end_token=False),
        "model_defaults": {
            "enc_hidden": joint["jointnet"]["encoder_hidden"],
            "pred_hidden": joint["jointnet"]["pred_hidden"],
        },
        "decoder": _predictor(model),
        "joint": {
            **joint,
            "jointnet": {"activation": "relu", **joint["jointnet"]},  # NeMo has no default for it
            "vocabulary": list(model.tokenizer.vocabulary),
            "fuse_loss_wer": model.fused,
            "fused_batch_size": _FUSED_BATCH if model.fused else None,
        },
        "decoding": _decoding(model),
        "loss": transducer_loss_section(model.loss),
        "rnnt_reduction": model.loss.reduction,
        **more,
    }
    characters, subwords = targets
    state = weights(model, renamed={"predictor.": "decoder."})
    return NvidiaModel(subwords if "tokenizer" in config else characters, config, state, artifacts)


def _predictor(model: TransducerModel) -> dict[str, Any]:
    settings = section(model.predictor, "predictor")
    return {**settings, "prednet": {"pred_rnn_layers": 1, **settings["prednet"]}}  # NeMo has no default for it


def _decoding(model: TransducerModel) -> dict[str, Any]:
    decoding: dict[str, Any] = {"strategy": "greedy_batch", "greedy": {"max_symbols": model.max_symbols}}
    settings = all_settings(model.loss)
    for kind, durations in (("tdt", "durations"), ("multiblank", "big_blank_durations")):
        if durations in settings:
            decoding |= {"model_type": kind, durations: list(settings[durations])}
    return decoding
