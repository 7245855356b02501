"""Reading the configurations and weights of NVIDIA NeMo's transducers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from nemo_asr.losses.nvidia import transducer_loss_config
from nemo_asr.models.nvidia import acoustic_config, ctc_weights, tokenizer_config
from nemo_core.errors import ArchiveError

__all__ = ["hybrid_config", "transducer_config", "transducer_weights"]

_PREDNETS = {
    "RNNTDecoder": {
        "pred_hidden",
        "pred_rnn_layers",
        "dropout",
        "rnn_hidden_size",
        "t_max",
        "forget_gate_bias",
        "weights_init_scale",
        "hidden_hidden_bias_scale",
    },
    "StatelessTransducerDecoder": {"pred_hidden", "dropout"},
}
_PREDICTORS = {
    "RNNTDecoder": {"normalization_mode", "random_state_sampling", "blank_as_pad"},
    "StatelessTransducerDecoder": {"normalization_mode", "context_size"},
}
_JOINTNET = {"encoder_hidden", "pred_hidden", "joint_hidden", "activation", "dropout"}
# NVIDIA's decoding has no limit where none is given; a network that never wants a blank would then decode for ever.
_NO_LIMIT = 100


def transducer_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of a :class:`~nemo_asr.models.transducer.TransducerModel`.

    Args:
        config: That of an ``EncDecRNNTModel`` or ``EncDecRNNTBPEModel``.

    Raises:
        ArchiveError: It lacks a section, or has what we do not have.
    """
    joint, labels = _joint(config)
    loss = _loss(config, joint, labels)
    return {
        **acoustic_config(config),
        "predictor": _predictor(config, labels),
        "joint": joint,
        "tokenizer": tokenizer_config(config, (config.get("joint") or {}).get("vocabulary")),
        "loss": loss,
        "max_symbols": _max_symbols(config),
        "fused": bool((config.get("joint") or {}).get("fuse_loss_wer")),
    }


def hybrid_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of a :class:`~nemo_asr.models.hybrid.HybridModel`.

    Args:
        config: That of an ``EncDecHybridRNNTCTCModel`` or ``EncDecHybridRNNTCTCBPEModel``.

    Raises:
        ArchiveError: It lacks a section, or has what we do not have.
    """
    node = transducer_config(config)
    auxiliary = config.get("aux_ctc") or {}
    decoder = auxiliary.get("decoder")
    if not decoder:
        raise ArchiveError("the configuration has no section aux_ctc.decoder")
    return {
        **node,
        "ctc_decoder": {
            "_target_": "asr.CTCDecoder",
            "feat_in": decoder.get("feat_in") or node["joint"]["jointnet"]["encoder_hidden"],
            "vocabulary": node["joint"]["num_classes"],
        },
        "ctc_weight": auxiliary.get("ctc_loss_weight", 0.5),
        "ctc_reduction": auxiliary.get("ctc_reduction") or "mean_batch",
    }


def transducer_weights(state: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Return NVIDIA's weights under the names of ours, which are ``names``."""
    renamed = {}
    for name, weight in state.items():
        part, _, rest = name.partition(".")
        renamed[f"predictor.{rest}" if part == "decoder" else name] = weight
    return ctc_weights(renamed, names)


def _predictor(config: Mapping[str, Any], labels: int) -> dict[str, Any]:
    section = _section(config, "decoder")
    kind = str(section["_target_"]).rpartition(".")[2]
    if kind not in _PREDICTORS:
        raise ArchiveError(f"decoder._target_ is {section['_target_']}", hint=f"known are {', '.join(_PREDICTORS)}")
    prednet = {key: value for key, value in section["prednet"].items() if key in _PREDNETS[kind]}
    options = {key: section[key] for key in _PREDICTORS[kind] if key in section}
    return {"_target_": section["_target_"], "prednet": prednet, "vocab_size": labels, **options}


def _joint(config: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the node of the joint network, and how many labels there are."""
    section = _section(config, "joint")
    defaults = config.get("model_defaults") or {}
    labels = len(section.get("vocabulary") or config.get("labels") or ()) or section.get("num_classes")
    if not labels or labels < 1:
        raise ArchiveError("the configuration has no labels", hint="joint.vocabulary should list them")
    jointnet = {key: value for key, value in section["jointnet"].items() if key in _JOINTNET}
    jointnet["encoder_hidden"] = defaults.get("enc_hidden") or jointnet.get("encoder_hidden")
    jointnet["pred_hidden"] = defaults.get("pred_hidden") or jointnet.get("pred_hidden")
    node = {"_target_": section["_target_"], "jointnet": jointnet, "num_classes": labels}
    if section.get("num_extra_outputs"):
        node["num_extra_outputs"] = section["num_extra_outputs"]
    if (section.get("masking_prob") or 0) > 0:
        node["masking_prob"] = section["masking_prob"]
    return node, labels


def _loss(config: Mapping[str, Any], joint: Mapping[str, Any], labels: int) -> dict[str, Any]:
    reduction = config.get("rnnt_reduction") or "mean_batch"
    node = transducer_loss_config(config.get("loss"), labels, reduction)
    if node["_target_"] == "asr.MultiblankRNNTLoss":
        node["blank"] = labels + joint.get("num_extra_outputs", 0)
    if str(joint["_target_"]).endswith("HATJoint"):
        node["factorized_blank"] = True
    return node


def _max_symbols(config: Mapping[str, Any]) -> int:
    greedy = (config.get("decoding") or {}).get("greedy") or {}
    limit = greedy.get("max_symbols") or greedy.get("max_symbols_per_step") or _NO_LIMIT
    return int(limit)


def _section(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = config.get(key)
    net = {"decoder": "prednet", "joint": "jointnet"}[key]
    if not isinstance(section, Mapping) or "_target_" not in section:
        raise ArchiveError(f"the configuration has no section {key} with a _target_")
    if not isinstance(section.get(net), Mapping):
        raise ArchiveError(f"the configuration has no section {key}.{net}")
    return section
