"""Reading the configurations and weights of NVIDIA's attention encoder-decoders."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from nemo_asr.models.nvidia import ONLY_OURS, acoustic_config, ctc_weights
from nemo_asr.models.nvidia_tokenizers import prompt_tokenizer_config
from nemo_core.errors import ArchiveError

__all__ = ["EMBEDDING", "LAYERS", "PARTS", "PROMPTS", "multitask_config", "multitask_weights"]

#: NVIDIA's formats of prompts, and ours.
PROMPTS = {"canary": "asr.CanaryPrompt", "canary2": "asr.Canary2Prompt"}
#: NVIDIA's beginnings of names of weights, and ours.
PARTS = {
    "encoder_decoder_proj.": "projection.",
    "transf_encoder.": "transformer_encoder.",
    "transf_decoder._embedding.": "decoder.embedding.",
    "transf_decoder._decoder.": "decoder.",
    "log_softmax.mlp.layer0.": "classifier.output.",
}
# Fixed positions follow from the configuration, and no input says of which type tokens are.
_UNUSED = ("position_embedding.pos_enc", "token_type_embedding.weight")
#: Settings of Transformer layers, and of what comes before them; the names are the same.
LAYERS = (
    "num_layers",
    "hidden_size",
    "inner_size",
    "num_attention_heads",
    "attn_score_dropout",
    "attn_layer_dropout",
    "ffn_dropout",
    "hidden_act",
    "pre_ln",
)
EMBEDDING = ("max_sequence_length", "embedding_dropout", "learn_positional_encodings")


def multitask_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of a :class:`~nemo_asr.models.multitask.MultitaskModel` for an ``EncDecMultiTaskModel``."""
    head, decoder = _mapping(config, "head"), _decoder(config)
    loss = config.get("loss") or {}
    node = {
        "_target_": "asr.MultitaskModel",
        **acoustic_config(config),
        "decoder": decoder,
        "tokenizer": prompt_tokenizer_config(config),
        "prompt": _prompt(config),
        "label_smoothing": float(loss.get("label_smoothing") or config.get("label_smoothing") or 0.0),
        "use_loss_mask_for_prompt": bool(config.get("use_loss_mask_for_prompt")),
        "classifier_dropout": float(head.get("dropout") or 0.0),
        **ONLY_OURS["asr.MultitaskModel"],
        **_decoding(config, int(decoder.get("max_sequence_length", 512))),
    }
    layers = config.get("transf_encoder") or {}
    if layers.get("num_layers"):
        kept = (*LAYERS, "mask_future", "pre_ln_final_layer_norm")
        node["transformer_encoder"] = {"_target_": "asr.TransformerEncoder", **_take(layers, kept)}
    return node


def multitask_weights(state: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Return NVIDIA's weights under the names of ours, which are ``names``."""
    renamed = {}
    for name, weight in state.items():
        if not name.endswith(_UNUSED):
            part = next((part for part in PARTS if name.startswith(part)), "")
            renamed[PARTS.get(part, "") + name.removeprefix(part)] = weight
    return ctc_weights(renamed, names)


def _decoder(config: Mapping[str, Any]) -> dict[str, Any]:
    section = _mapping(config, "transf_decoder")
    settings = section.get("config_dict") or section
    head = _mapping(config, "head")
    size = head.get("num_classes")
    if not isinstance(size, int) or int(head.get("num_layers", 1)) != 1:
        raise ArchiveError("the configuration's head is not one layer with num_classes outputs, one for each token")
    node = {"_target_": "asr.TransformerDecoder", "vocab_size": size, **_take(settings, (*LAYERS, *EMBEDDING))}
    if "pre_ln_final_layer_norm" in section:
        node["pre_ln_final_layer_norm"] = section["pre_ln_final_layer_norm"]
    return node


def _prompt(config: Mapping[str, Any]) -> dict[str, Any]:
    name = config.get("prompt_format")
    if name not in PROMPTS:
        raise ArchiveError(
            f"the configuration has prompts of the format {name!r}, which is not known",
            hint=f"prompts of {', '.join(PROMPTS)} are",
        )
    turns = [turn for turn in config.get("prompt_defaults") or () if turn.get("role") == "user"]
    slots = turns[0].get("slots") or {} if turns else {}
    defaults = {slot: value for slot, value in slots.items() if value is not None}
    return {"_target_": PROMPTS[name], **({"defaults": defaults} if defaults else {})}


def _decoding(config: Mapping[str, Any], positions: int) -> dict[str, Any]:
    """Return how answers are searched for, and how long they may be."""
    decoding = config.get("decoding") or {}
    beam = decoding.get("strategy", "beam") == "beam"
    settings = decoding.get("beam" if beam else "greedy") or {}
    delta = settings.get("max_generation_delta", -1)
    # NVIDIA's beam search, also of one beam, gives one token more than its greedy search.
    node: dict[str, Any] = {"max_length": positions + beam}
    if delta is not None and delta >= 0:
        node["max_generation_delta"] = delta + beam
    if beam and settings.get("beam_size", 1) > 1:
        node["beam_size"] = settings["beam_size"]
        node["length_penalty"] = settings.get("length_penalty", 0.0)
    return node


def _mapping(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = config.get(key)
    if not isinstance(section, Mapping):
        raise ArchiveError(f"the configuration has no section {key}")
    return section


def _take(settings: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: settings[name] for name in names if settings.get(name) is not None}
