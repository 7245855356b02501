"""Reading the configurations and weights of NVIDIA NeMo's recognition models."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from nemo_asr.models.nvidia_tokenizers import aggregate_config, word_piece_config
from nemo_core.audio.nvidia import IGNORED, mel_config
from nemo_core.errors import ArchiveError

__all__ = [
    "ONLY_OURS",
    "acoustic_config",
    "ctc_config",
    "ctc_weights",
    "preprocessor_config",
    "tokenizer_config",
]

#: By registry name: settings that NVIDIA NeMo does not have, each with the value by which we do what NeMo does.
ONLY_OURS: Mapping[str, Mapping[str, Any]] = {
    "MelSpectrogram": {"feature_version": 2},
    "asr.ConvASREncoder": {"norm_eps": 1e-3, "norm_momentum": 0.1},
    "asr.ConvClassifier": {"pool_padding": True},
    "asr.ClassificationModel": {"crop_or_pad": None, "label_smoothing": 0.0},
    "asr.HybridModel": {"decoder": "transducer"},
    "asr.MultitaskModel": {"min_duration": 1.0},  # what its transcribe() makes of shorter files
}

# Settings of NVIDIA's modules that change nothing in evaluation, or nothing any more.
_IGNORED = {
    "preprocessor": IGNORED,
    "spec_augment": {"use_numba_spec_augment", "use_vectorized_spec_augment", "rng"},
    "encoder": {
        "norm_groups",
        "pos_emb_max_len",
        "quantize",
        "subsampling_conv_chunking_factor",
        "sync_max_audio_length",
        "use_pytorch_sdpa",
        "use_pytorch_sdpa_backends",
    },
    "decoder": {"add_blank"},
}


def ctc_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of a :class:`~nemo_asr.models.ctc.CTCModel` for that of an ``EncDecCTCModel`` or ``...BPE``."""
    decoder = _section(config, "decoder")
    size = len(decoder.get("vocabulary") or config.get("labels") or ()) or decoder.get("num_classes")
    return {
        **acoustic_config(config),
        "decoder": {"_target_": decoder["_target_"], "feat_in": decoder["feat_in"], "vocabulary": size},
        "tokenizer": tokenizer_config(config, decoder.get("vocabulary")),
        "ctc_reduction": config.get("ctc_reduction") or "mean_batch",
    }


def acoustic_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nodes of what every model begins with: features, what they go through in training, and encoder."""
    node = {"preprocessor": preprocessor_config(config), "encoder": _section(config, "encoder")}
    if config.get("spec_augment"):
        node["spec_augment"] = _section(config, "spec_augment")
    return node


def tokenizer_config(config: Mapping[str, Any], labels: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the node of the tokenizer: subwords where the configuration has a ``tokenizer``, characters elsewhere.

    Args:
        config: NVIDIA's configuration.
        labels: The characters, where the decoder or the joint lists them; else those of the configuration itself.
    """
    section = config.get("tokenizer")
    if not section:
        labels = labels or config.get("labels")
        if not labels:
            raise ArchiveError("the configuration has no labels", hint="decoder.vocabulary should list them")
        return {"_target_": "asr.CharTokenizer", "labels": list(labels), "unknown": "skip"}
    kind = str(section.get("type")).lower()
    if kind == "agg":
        return aggregate_config(section)
    if kind == "wpe":
        return word_piece_config(section)
    if kind != "bpe":
        raise ArchiveError(f"the configuration has a tokenizer of type {kind!r}", hint="bpe, wpe and agg are read")
    if not section.get("model_path"):
        raise ArchiveError("the configuration has no tokenizer.model_path, so the archive has no tokenizer")
    return {"_target_": "asr.SentencePieceTokenizer", "model_path": str(section["model_path"])}


def preprocessor_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of the features, with the version that the model was trained with."""
    node = _section(config, "preprocessor")
    if node["_target_"].endswith("AudioToMFCCPreprocessor"):
        return node
    return mel_config(config)


def ctc_weights(state: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Return NVIDIA's weights under the names of ours, which are ``names``."""
    weights = {}
    for name, weight in state.items():
        if name.startswith("preprocessor.featurizer."):
            continue  # window and filterbank follow from the configuration
        ours = name
        if name not in names and name.endswith((".weight", ".bias")):
            # With conv_mask: false NeMo's convolutions are bare; ours are wrapped all the same.
            stem, _, leaf = name.rpartition(".")
            ours = f"{stem}.conv.{leaf}" if f"{stem}.conv.{leaf}" in names else name
        weights[ours] = weight
    return weights


def _section(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    section = config.get(key)
    if not isinstance(section, Mapping) or "_target_" not in section:
        raise ArchiveError(f"the configuration has no section {key} with a _target_")
    return {name: value for name, value in section.items() if name not in _IGNORED[key]}
