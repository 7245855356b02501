"""CTC models in NVIDIA NeMo's words; the other direction is :func:`nemo_asr.models.nvidia.ctc_config`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nemo_asr.export.nvidia import acoustic_sections, data_sections, section, weights
from nemo_asr.export.nvidia_tokenizers import tokenizer_sections
from nemo_core.models import NvidiaModel

if TYPE_CHECKING:
    from nemo_asr.models.ctc import CTCModel
    from nemo_asr.modules.ctc_decoder import CTCDecoder
    from nemo_asr.tokenizers.base import Tokenizer

__all__ = ["ctc_decoder_section", "ctc_model"]

_CHARACTERS = "nemo.collections.asr.models.ctc_models.EncDecCTCModel"
_SUBWORDS = "nemo.collections.asr.models.ctc_bpe_models.EncDecCTCModelBPE"


def ctc_model(model: CTCModel) -> NvidiaModel:
    """Return NVIDIA's words for a CTC model."""
    artifacts: dict[str, bytes] = {}
    config = {
        **acoustic_sections(model),
        **tokenizer_sections(model.tokenizer, artifacts),
        **data_sections(model, use_start_end_token=False),
        "decoder": ctc_decoder_section(model.decoder, model.tokenizer),
        "ctc_reduction": model.ctc_reduction,
    }
    target = _SUBWORDS if "tokenizer" in config else _CHARACTERS
    return NvidiaModel(target, config, weights(model), artifacts)


def ctc_decoder_section(decoder: CTCDecoder, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the section of the output layer."""
    counted = {"num_classes": decoder.vocabulary_size, "vocabulary": list(tokenizer.vocabulary)}
    return {**section(decoder, "decoder"), **counted}
