"""Reading the configurations and weights of NVIDIA NeMo's classifiers of utterances."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from nemo_asr.models.nvidia import ONLY_OURS, acoustic_config, ctc_weights
from nemo_core.audio.nvidia import nemo_version
from nemo_core.errors import ArchiveError

__all__ = ["classification_config", "classifier_weights", "speaker_config"]

# Until then models were trained and evaluated on features of one length; since then they are not cut any more.
_NO_CROPPING_SINCE = (2, 3)


def classification_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of a :class:`~nemo_asr.models.classification.ClassificationModel`."""
    labels = _labels(config)
    if not labels:
        raise ArchiveError("the configuration has no labels", hint="labels should list the classes")
    if config.get("is_regression_task"):
        raise ArchiveError("the model is one of regression, which is not offered", hint="only classes can be restored")
    decoder = _decoder(config, {"feat_in", "pooling_type", "init_mode"})
    node = {
        "_target_": "asr.ClassificationModel",
        **acoustic_config(config),
        # NeMo pools padding too, and its models have learnt so.
        "decoder": {**decoder, "num_classes": len(labels), **ONLY_OURS["asr.ConvClassifier"]},
        "labels": labels,
    }
    crop = config.get("crop_or_pad_augment")
    if crop and nemo_version(config) < _NO_CROPPING_SINCE:
        node["crop_or_pad"] = {"_target_": "asr.CropOrPad", "audio_length": crop["audio_length"]}
    return node


def speaker_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of a :class:`~nemo_asr.models.speaker.SpeakerModel`, or of a classifier if that is what it is."""
    decoder = config.get("decoder") or {}
    labels = _labels(config)
    if str(decoder.get("_target_", "")).endswith("ConvASRDecoderClassification"):
        count = int(decoder["num_classes"])
        return classification_config({**config, "labels": labels or [str(index) for index in range(count)]})
    known = {"feat_in", "num_classes", "emb_sizes", "pool_mode", "angular", "attention_channels", "init_mode"}
    loss = config.get("loss") or {}
    angular = "angular" in str(loss.get("_target_", ""))
    node = {
        "_target_": "asr.SpeakerModel",
        **acoustic_config(config),
        "decoder": _decoder(config, known),
    }
    node["decoder"]["pool_mode"] = str(node["decoder"].get("pool_mode", "xvector")).lower()
    if angular:
        settings = {key: loss[key] for key in ("scale", "margin") if key in loss}
        node["loss"] = {"_target_": "asr.AngularSoftmaxLoss", **settings}
        node["decoder"]["angular"] = True
    if node["decoder"].get("angular"):
        node["decoder"]["normalize_classes"] = False
    if labels and len(labels) == int(decoder["num_classes"]):
        node["labels"] = labels
    return node


def classifier_weights(state: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Return NVIDIA's weights under the names of ours, which are ``names``."""
    kept = {name: weight for name, weight in state.items() if not name.startswith(("loss.", "eval_loss."))}
    return ctc_weights(kept, names)


def _decoder(config: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    section = config.get("decoder")
    if not isinstance(section, Mapping) or "_target_" not in section:
        raise ArchiveError("the configuration has no section decoder with a _target_")
    return {"_target_": section["_target_"], **{key: section[key] for key in known if key in section}}


def _labels(config: Mapping[str, Any]) -> list[str]:
    training = config.get("train_ds") or {}
    return [str(label) for label in config.get("labels") or training.get("labels") or ()]
