"""Classifiers in NVIDIA NeMo's words; the other direction is :mod:`nemo_asr.models.nvidia_classifiers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

from nemo_asr.export.nvidia import acoustic_sections, check_model, data_sections, section, weights
from nemo_core.models import NvidiaModel

if TYPE_CHECKING:
    from nemo_asr.models.classification import ClassificationModel
    from nemo_asr.models.speaker import SpeakerModel

__all__ = ["classification_model", "speaker_model"]

_CLASSIFICATION = "nemo.collections.asr.models.classification_models.EncDecClassificationModel"
_SPEAKER = "nemo.collections.asr.models.label_models.EncDecSpeakerLabelModel"


def classification_model(model: ClassificationModel) -> NvidiaModel:
    """Return NVIDIA's words for a classifier."""
    check_model(model)
    config = {
        **acoustic_sections(model),
        **data_sections(model, labels=model.labels),
        "labels": model.labels,
        "decoder": section(model.decoder, "decoder"),
    }
    return NvidiaModel(_CLASSIFICATION, config, weights(model))


def speaker_model(model: SpeakerModel) -> NvidiaModel:
    """Return NVIDIA's words for a model of speakers."""
    state = weights(model)
    if model.decoder.angular and model.decoder.normalize_classes:
        # NeMo takes the speakers' weights as they are, so that they have to be normalised by then.
        state["decoder.final.weight"] = F.normalize(model.decoder.final.weight, dim=1)
    decoder = section(model.decoder, "decoder", without=["normalize_classes"])
    config = {**acoustic_sections(model), **data_sections(model, labels=model.labels), "decoder": decoder}
    if model.loss is not None:
        config["loss"] = section(model.loss, "loss")
    return NvidiaModel(_SPEAKER, config, state)
