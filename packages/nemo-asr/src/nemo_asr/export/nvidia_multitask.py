"""Attention encoder-decoders in NVIDIA NeMo's words; the other direction is :mod:`nemo_asr.models.nvidia_multitask`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nemo_asr.export.nvidia import acoustic_sections, all_settings, check_model, data_sections, section, weights
from nemo_asr.export.nvidia_tokenizers import tokenizer_sections
from nemo_asr.models.nvidia_multitask import EMBEDDING, LAYERS, PARTS, PROMPTS
from nemo_core.errors import ExportError
from nemo_core.models import NvidiaModel

if TYPE_CHECKING:
    from nemo_asr.models.multitask import MultitaskModel

__all__ = ["multitask_model"]

_TARGET = "nemo.collections.asr.models.aed_multitask_models.EncDecMultiTaskModel"
_EMBEDDING = "transf_decoder._embedding"
_OUTPUT = "log_softmax.mlp.layer0"
_NEVER = -1e4  # logit of an output that stands for no token


def multitask_model(model: MultitaskModel) -> NvidiaModel:
    """Return NVIDIA's words for an attention encoder-decoder."""
    check_model(model)
    settings = all_settings(model)
    artifacts: dict[str, bytes] = {}
    hidden = model.decoder.hidden_size
    size = -len(model.tokenizer) // 8 * -8  # of NeMo's output layer: tokens, rounded up to a multiple of 8
    if model.decoder.vocab_size > size:
        raise ExportError(
            f"decoder.vocab_size={model.decoder.vocab_size} is nothing that NVIDIA NeMo can do",
            hint=f"for {len(model.tokenizer)} tokens it has {size} outputs",
        )
    config = {
        **acoustic_sections(model),
        **tokenizer_sections(model.tokenizer, artifacts),
        **data_sections(model),
        **_prompt(model),
        "model_defaults": {"asr_enc_hidden": model.encoder.feat_out, "lm_enc_hidden": hidden, "lm_dec_hidden": hidden},
        "transf_encoder": _transformer_encoder(model),
        "transf_decoder": _transformer_decoder(model),
        "head": {
            "_target_": "nemo.collections.asr.parts.submodules.token_classifier.TokenClassifier",
            "num_layers": 1,
            "activation": "relu",
            "log_softmax": True,
            "hidden_size": hidden,
            "num_classes": size,
            "dropout": settings["classifier_dropout"],
            "use_transformer_init": True,
        },
        "decoding": _decoding(settings, model.decoder.max_sequence_length),
        "loss": {
            "_target_": "nemo.collections.common.losses.smoothed_cross_entropy.SmoothedCrossEntropyLoss",
            "label_smoothing": settings["label_smoothing"],
            "pad_id": model.tokenizer.padding,
        },
        "label_smoothing": settings["label_smoothing"],
        "use_loss_mask_for_prompt": model.use_loss_mask_for_prompt,
    }
    return NvidiaModel(_TARGET, config, _weights(model, size), artifacts)


def _prompt(model: MultitaskModel) -> dict[str, Any]:
    node = model.prompt.to_config()
    name = next((name for name, target in PROMPTS.items() if target == node["_target_"]), None)
    if name is None:
        raise ExportError(f"prompt: {type(model.prompt).__qualname__} has no counterpart in NVIDIA NeMo")
    defaults = [{"role": "user", "slots": node["defaults"]}] if node.get("defaults") else None
    return {"prompt_format": name, "prompt_defaults": defaults}


def _transformer_encoder(model: MultitaskModel) -> dict[str, Any]:
    if model.transformer_encoder is not None:
        return section(model.transformer_encoder, "transformer_encoder")
    hidden = model.decoder.hidden_size
    target = "nemo.collections.asr.modules.transformer.transformer_encoders.TransformerEncoder"
    return {"_target_": target, "num_layers": 0, "hidden_size": hidden, "inner_size": hidden}


def _transformer_decoder(model: MultitaskModel) -> dict[str, Any]:
    settings = all_settings(model.decoder)
    return {
        "_target_": "nemo.collections.asr.modules.transformer.get_nemo_transformer",
        "model_name": None,
        "pretrained": False,
        "encoder": None,
        "pre_ln_final_layer_norm": settings["pre_ln_final_layer_norm"],
        "config_dict": {
            **{name: settings[name] for name in (*LAYERS, *EMBEDDING)},
            "num_token_types": 0,
            "vocab_size": None,
        },
    }


def _decoding(settings: dict[str, Any], positions: int) -> dict[str, Any]:
    """Return how answers are searched for; with its beam search, also of one beam, NeMo gives one token more."""
    length, delta = settings["max_length"], settings["max_generation_delta"]
    greedy = settings["beam_size"] == 1 and length == positions
    if not greedy and length not in (None, positions + 1):
        raise ExportError(
            f"max_length={length} is nothing that NVIDIA NeMo can do",
            hint=f"it has as many tokens as there are positions; `--set max_length={positions + 1}` exports that",
        )
    delta = -1 if delta is None else max(0, delta - (not greedy))
    search = {"max_generation_delta": delta}
    if greedy:
        return {"strategy": "greedy", "greedy": search}
    beam: dict[str, Any] = {"beam_size": settings["beam_size"], "len_pen": 0.0, **search}
    if settings["beam_size"] > 1:
        beam["length_penalty"] = settings["length_penalty"]
    return {"strategy": "beam", "return_best_hypothesis": True, "beam": beam}


def _weights(model: MultitaskModel, size: int) -> dict[str, Tensor]:
    # The longest beginning of a name comes last, and has its way.
    renamed = dict(sorted(((ours, theirs) for theirs, ours in PARTS.items()), key=lambda pair: len(pair[0])))
    state = weights(model, renamed)
    embedding = model.decoder.embedding
    if embedding.position_embedding is None:
        state[f"{_EMBEDDING}.position_embedding.pos_enc"] = embedding.positions
    more = size - model.decoder.vocab_size
    if more:
        bias = state[f"{_OUTPUT}.bias"]
        state[f"{_OUTPUT}.bias"] = torch.cat([bias, bias.new_full((more,), _NEVER)])
        for name in (f"{_OUTPUT}.weight", f"{_EMBEDDING}.token_embedding.weight"):
            state[name] = F.pad(state[name], (0, 0, 0, more))
    return state
