"""Reading the configurations and weights of NVIDIA NeMo's models of synthesis."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nemo_core.audio.nvidia import mel_config
from nemo_core.errors import ArchiveError, ConfigError

if TYPE_CHECKING:
    from nemo_tts.models.fastpitch import FastPitch

__all__ = ["SPECTRAL", "fastpitch_config", "fastpitch_weights", "fit_vocabulary", "hifigan_config", "hifigan_weights"]

logger = logging.getLogger(__name__)

_TABLE = "speaker_encoder.lookup_module.table.weight"

#: What NVIDIA calls the tensors of spectral norm, and what torch calls them now.
SPECTRAL = (
    ("weight_orig", "parametrizations.weight.original"),
    ("weight_u", "parametrizations.weight.0._u"),
    ("weight_v", "parametrizations.weight.0._v"),
)


def fastpitch_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of a :class:`~nemo_tts.models.fastpitch.FastPitch` for that of a ``FastPitchModel``.

    Raises:
        ArchiveError: A section is missing, or the model has a part that ours has not.
    """
    tokenizer = _tokenizer(config.get("text_tokenizer"))
    count, padding = _vocabulary(tokenizer, config.get("text_tokenizer"))
    speakers = int(config.get("n_speakers") or 1)
    conditioned = {
        "input_fft": speakers > 1,
        "output_fft": speakers > 1 and bool(config.get("speaker_emb_condition_decoder")),
        "duration_predictor": speakers > 1 and bool(config.get("speaker_emb_condition_prosody")),
        "pitch_predictor": speakers > 1 and bool(config.get("speaker_emb_condition_prosody")),
        "energy_predictor": speakers > 1 and bool(config.get("speaker_emb_condition_prosody")),
        "alignment_module": speakers > 1 and bool(config.get("speaker_emb_condition_aligner")),
    }

    def part(key: str, target: str, without: Sequence[str] = ()) -> dict[str, Any]:
        section = config.get(key)
        if not isinstance(section, Mapping):
            raise ArchiveError(f"the configuration has no section {key}")
        node = {name: value for name, value in section.items() if name not in without} | {"_target_": target}
        types = list(node.get("condition_types") or ())
        if conditioned[key] and "add" not in types:
            types.append("add")
        if types:
            node["condition_types"] = types
        return node

    node: dict[str, Any] = {
        "_target_": "tts.FastPitch",
        "preprocessor": mel_config(config),
        "encoder": part("input_fft", "tts.FFTransformerEncoder") | {"n_embed": count, "padding_idx": padding},
        "decoder": part("output_fft", "tts.FFTransformerDecoder", ["n_embed", "d_embed", "padding_idx"]),
        "duration_predictor": part("duration_predictor", "tts.TemporalPredictor"),
        "pitch_predictor": part("pitch_predictor", "tts.TemporalPredictor"),
        "n_speakers": _voices(config, speakers),
        "tokenizer": tokenizer,
    }
    if config.get("learn_alignment"):
        node["aligner"] = part("alignment_module", "tts.Aligner")
    if config.get("energy_predictor"):
        node["energy_predictor"] = part("energy_predictor", "tts.TemporalPredictor")
    for name in (
        "pitch_embedding_kernel_size",
        "energy_embedding_kernel_size",
        "max_token_duration",
        "min_token_duration",
        "pitch_mean",
        "pitch_std",
        "bin_loss_warmup_epochs",
    ):
        if config.get(name) is not None:
            node[name] = config[name]
    return node


def fastpitch_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return NVIDIA's weights of a ``FastPitchModel`` under the names of ours."""
    weights = {}
    for name, weight in state.items():
        # The aligner is there twice; what begins otherwise follows from the configuration.
        ours = name.removeprefix("fastpitch.")
        if not name.startswith("fastpitch.") or ours.endswith(".inv_freq") or ours in ("pitch_mean", "pitch_std"):
            continue
        if ours.startswith("speaker_encoder."):
            if ours == _TABLE:
                weights["speaker_emb.weight"] = weight
            continue
        weights[ours] = weight
    return weights


def _voices(config: Mapping[str, Any], given: int) -> int:
    """Return how many voices there are, where a ``speaker_encoder`` may have them in a table of its own.

    Raises:
        ArchiveError: It has no table, so that a recording, or one vector, is all that tells the voice.
    """
    section = config.get("speaker_encoder")
    if not section:
        return given
    table = section.get("lookup_module")
    if section.get("precomputed_embedding_dim") is not None or not table or int(table.get("n_speakers") or 0) < 2:
        raise ArchiveError(
            "the model has a speaker_encoder that takes its voice from a recording or a vector, which is not offered",
            hint="models with a table of voices, in a speaker_encoder or without one, can be restored",
        )
    if section.get("gst_module"):
        # NVIDIA NeMo speaks so too where no reference is given.
        logger.warning("the model's style tokens are left out: its voices are those of its table")
    return int(table["n_speakers"])


def fit_vocabulary(model: FastPitch, state: Mapping[str, Tensor]) -> None:
    """Give a model that has no tokenizer as many tokens as there are in the weights."""
    table = state.get("fastpitch.encoder.word_emb.weight")
    if model.tokenizer is None and table is not None:
        from nemo_tts.modules.fft import FFTransformerEncoder

        settings = model.encoder.to_config()
        del settings["_target_"]
        padding = len(table) + int(settings["padding_idx"])
        model.encoder = FFTransformerEncoder(**settings | {"n_embed": len(table), "padding_idx": padding})


def hifigan_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of a :class:`~nemo_tts.models.hifigan.HiFiGan` for that of a ``HifiGanModel``.

    It has no discriminators: synthesis needs none. To train the model on, restore it with ``override_config`` for
    ``mpd`` and ``msd``; if the archive has their weights, they are taken too.
    """
    generator = config.get("generator")
    if not isinstance(generator, Mapping):
        raise ArchiveError("the configuration has no section generator")
    node = dict(generator) | {"_target_": "tts.HiFiGanGenerator", "resblock": int(generator.get("resblock", 1))}
    result = {"_target_": "tts.HiFiGan", "preprocessor": mel_config(config), "generator": node}
    if config.get("l1_loss_factor") is not None:
        result["l1_loss_factor"] = config["l1_loss_factor"]
    return result


def hifigan_weights(state: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return NVIDIA's weights of a ``HifiGanModel`` under the names of ``ours``, as far as these go.

    Weights of discriminators that the archive has not stay as they are.
    """
    weights = {name: value for name, value in ours.items() if name.startswith(("mpd.", "msd."))}
    for name, weight in state.items():
        if name.startswith(("mpd.", "msd.")):
            for theirs, mine in SPECTRAL if name.startswith("msd.discriminators.0.") else ():
                if name.endswith(f".{theirs}"):
                    name = name.removesuffix(theirs) + mine
            if name in weights:
                weights[name] = weight.reshape(weights[name].shape)
        elif name.startswith("generator."):
            weights[_nested(name, ours)] = weight
    return weights


def _nested(name: str, ours: Mapping[str, Tensor]) -> str:
    """Return a name with the residual blocks by stage: those of the first archives are numbered through."""
    parts = name.split(".")
    if name in ours or parts[1] != "resblocks" or len(parts) != 6:
        return name
    blocks = len({other.split(".")[3] for other in ours if other.startswith("generator.resblocks.0.")})
    stage, block = divmod(int(parts[2]), max(blocks, 1))
    return ".".join(["generator", "resblocks", str(stage), str(block), *parts[3:]])


def _tokenizer(section: Any) -> dict[str, Any] | None:
    """Return the node of the tokenizer, or None where there is none of this kind."""
    from nemo_core.plugins import registry

    if not isinstance(section, Mapping) or "_target_" not in section:
        return None
    name = str(section["_target_"]).rpartition(".")[2]
    if registry().find(f"tts.{name}") is None:
        logger.warning("there is no tokenizer %s: the model takes tokens, and no text", section["_target_"])
        return None
    from nemo_tts.tokenizers.nvidia import nvidia_tokenizer_config

    try:
        return dict(nvidia_tokenizer_config(section))
    except ConfigError as error:
        logger.warning("%s: the model takes tokens, and no text", error.message)
        return None


def _vocabulary(tokenizer: Mapping[str, Any] | None, section: Any) -> tuple[int, int]:
    """Return how many tokens there are, and the one for padding; counted from the end where only the weights say."""
    if tokenizer is not None:
        from nemo_core.config import Trust, instantiate

        made = instantiate(tokenizer, trust=Trust.archive())
        return len(made.tokens), int(made.pad)
    blank = isinstance(section, Mapping) and section.get("add_blank_at") is not None
    return 3, -3 if blank else -2
