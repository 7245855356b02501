"""Models of synthesis in NVIDIA NeMo's words; the other direction is :mod:`nemo_tts.models.nvidia`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nemo_core.audio.mel import MelSpectrogram
from nemo_core.errors import ExportError
from nemo_core.models import NvidiaModel
from nemo_core.models.nvidia_export import reference
from nemo_tts.models.nvidia import SPECTRAL
from nemo_tts.modules.hifigan import HiFiGanGenerator
from nemo_tts.text.english.g2p import EnglishG2p
from nemo_tts.text.ipa import IpaG2p

if TYPE_CHECKING:
    from nemo_core.config.configured import Configured
    from nemo_tts.models.fastpitch import FastPitch
    from nemo_tts.models.hifigan import HiFiGan

__all__ = ["fastpitch_model", "hifigan_model"]

_HIFIGAN = "nemo.collections.tts.models.hifigan.HifiGanModel"
_GENERATOR = "nemo.collections.tts.modules.hifigan_modules.Generator"
_FEATURES = "nemo.collections.asr.parts.preprocessing.features.FilterbankFeatures"
_FASTPITCH = "nemo.collections.tts.models.fastpitch.FastPitchModel"
_PREPROCESSOR = "nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor"
_FFT = "nemo.collections.tts.modules.transformer.FFTransformer"
_PREDICTOR = "nemo.collections.tts.modules.fastpitch.TemporalPredictor"
_ALIGNER = "nemo.collections.tts.modules.aligner.AlignmentEncoder"
_ENGLISH_G2P = "nemo.collections.tts.g2p.models.en_us_arpabet.EnglishG2p"
_IPA_G2P = "nemo.collections.tts.g2p.models.i18n_ipa.IpaG2p"
_DATASET = "nemo.collections.tts.data.dataset.TTSDataset"


def fastpitch_model(model: FastPitch) -> NvidiaModel:
    """Return NVIDIA's words for a FastPitch.

    Raises:
        ExportError: It has no tokenizer, or one that is not said in NVIDIA's words, or another part is not.
    """
    encoder, decoder = _settings(model.encoder), _settings(model.decoder)
    mel = model.preprocessor
    files: dict[str, bytes] = {}
    config: dict[str, Any] = {
        "learn_alignment": model.aligner is not None,
        "bin_loss_warmup_epochs": model.bin_loss_warmup_epochs,
        "n_speakers": model.n_speakers,
        "max_token_duration": model.max_token_duration,
        "min_token_duration": model.min_token_duration,
        "symbols_embedding_dim": model.encoder.d_model,
        "pitch_embedding_kernel_size": model.pitch_emb.kernel_size[0],
        "pitch_mean": model.pitch_mean,
        "pitch_std": model.pitch_std,
        "sample_rate": mel.sample_rate,
        "n_mel_channels": mel.n_mels,
        "n_window_size": mel.win_length,
        "n_window_stride": mel.hop_length,
        "n_fft": mel.n_fft,
        "lowfreq": mel.lowfreq,
        "highfreq": mel.highfreq,
        "window": _settings(mel)["window"],
        "text_tokenizer": _tokenizer(model.tokenizer, files),
        "preprocessor": {"_target_": _PREPROCESSOR, **_mel_settings(mel), "window_size": False, "window_stride": False},
        "input_fft": {**encoder, "_target_": _FFT + "Encoder", "d_embed": model.encoder.d_model},
        "output_fft": {**decoder, "_target_": _FFT + "Decoder"},
        "duration_predictor": {"_target_": _PREDICTOR, **_settings(model.duration_predictor)},
        "pitch_predictor": {"_target_": _PREDICTOR, **_settings(model.pitch_predictor)},
        "train_ds": {"defer_setup": True, "dataset": {"_target_": _DATASET}},
        "validation_ds": None,
    }
    for name in ("n_embed", "padding_idx"):  # NeMo takes them from the tokenizer
        del config["input_fft"][name]
    if model.aligner is not None:
        config["alignment_module"] = {"_target_": _ALIGNER, **_settings(model.aligner)}
    if model.energy_predictor is not None and model.energy_emb is not None:
        config["energy_predictor"] = {"_target_": _PREDICTOR, **_settings(model.energy_predictor)}
        config["energy_embedding_kernel_size"] = model.energy_emb.kernel_size[0]
    return NvidiaModel(_FASTPITCH, config, _fastpitch_weights(model), files)


def _fastpitch_weights(model: FastPitch) -> dict[str, Tensor]:
    weights = {
        "preprocessor.featurizer.window": model.preprocessor.window,
        "preprocessor.featurizer.fb": model.preprocessor.filterbank.unsqueeze(0),
        "fastpitch.pitch_mean": torch.tensor([float(model.pitch_mean)]),
        "fastpitch.pitch_std": torch.tensor([float(model.pitch_std)]),
        "fastpitch.encoder.pos_emb.inv_freq": model.encoder.pos_emb.inv_freq,
        "fastpitch.decoder.pos_emb.inv_freq": model.decoder.pos_emb.inv_freq,
    }
    for name, weight in model.state_dict().items():
        weights[f"fastpitch.{name}"] = weight
        if name.startswith("aligner."):
            weights[name] = weight
    return weights


def _tokenizer(tokenizer: Any, files: dict[str, bytes]) -> dict[str, Any]:
    from nemo_core.plugins import registry

    if tokenizer is None:
        raise ExportError("the model has no tokenizer, and NVIDIA NeMo needs one to make it")
    component = registry().find(registry().name_of(type(tokenizer)) or "")
    theirs = [alias for alias in component.aliases if alias.startswith("nemo.")] if component else []
    given = tokenizer.to_config()
    g2p = getattr(tokenizer, "g2p", None)
    if not theirs or (g2p is not None and not isinstance(g2p, EnglishG2p | IpaG2p)):
        raise _unsaid(tokenizer)
    ours = {"_target_", "normalizer", "unknown", "g2p"}
    config = {"_target_": theirs[0], **{name: value for name, value in given.items() if name not in ours}}
    return config if g2p is None else {**config, "g2p": _g2p(tokenizer, g2p, files)}


def _g2p(tokenizer: Any, g2p: EnglishG2p | IpaG2p, files: dict[str, bytes]) -> dict[str, Any]:
    """Return NVIDIA's words for a converter, whose dictionary goes among ``files``."""
    if isinstance(g2p, IpaG2p):
        settings = {name: value for name, value in _settings(g2p).items() if value is not None}
        kept = {name: reference(f"{name}.txt", bytes(content), files) for name, content in g2p.contents().items()}
        return {"_target_": _IPA_G2P, **settings, **kept}
    if g2p.notation != "arpabet":
        raise _unsaid(tokenizer)
    # One pronunciation a word: of several NVIDIA NeMo takes none, and leaves the word in letters.
    lines = (f"{word.upper()}  {' '.join(sounds[0])}\n" for word, sounds in g2p.lexicon.items())
    config = {"_target_": _ENGLISH_G2P, "phoneme_dict": reference("cmudict.txt", "".join(lines).encode(), files)}
    return config if g2p.phoneme_probability is None else {**config, "phoneme_probability": g2p.phoneme_probability}


def _unsaid(tokenizer: Any) -> ExportError:
    g2p = getattr(tokenizer, "g2p", None)
    what = type(tokenizer).__qualname__ + (f" with {type(g2p).__qualname__}" if g2p is not None else "")
    return ExportError(
        f"tokenizer: {what} is not said in NVIDIA NeMo's words yet",
        hint="tokenizers of letters, of ARPABET, and of IPA with a dictionary (tts.IpaG2p) can be exported",
    )


def hifigan_model(model: HiFiGan) -> NvidiaModel:
    """Return NVIDIA's words for a HiFi-GAN.

    Raises:
        ExportError: Its generator or its features are of a kind that NVIDIA NeMo does not have.
    """
    if not isinstance(model.generator, HiFiGanGenerator):
        raise ExportError(f"generator: {type(model.generator).__qualname__} has no counterpart in NVIDIA NeMo")
    config = {
        "preprocessor": _features(model.preprocessor),
        "generator": {"_target_": _GENERATOR, **_settings(model.generator)},
        "l1_loss_factor": model.l1_loss_factor,
        "max_steps": 1,
        "denoise_strength": 0.0,
        "train_ds": {"defer_setup": True, "dataset": {"_target_": _DATASET}},
        "validation_ds": None,
    }
    return NvidiaModel(_HIFIGAN, config, _hifigan_weights(model))


def _hifigan_weights(model: HiFiGan) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for part, mel in (("audio_to_melspec_precessor", model.preprocessor), ("trg_melspec_fn", model.target_mel)):
        weights |= {f"{part}.window": mel.window, f"{part}.fb": mel.filterbank.unsqueeze(0)}
    for name, weight in model.state_dict().items():
        for theirs, mine in SPECTRAL:
            if name.endswith(mine):
                name = name.removesuffix(mine) + theirs
                # NeMo's are one-dimensional convolutions.
                weight = weight.squeeze(2) if weight.ndim == 4 else weight
        weights[name] = weight
    return weights


def _features(mel: MelSpectrogram) -> dict[str, Any]:
    settings = _mel_settings(mel)
    return {"_target_": _FEATURES, "nfilt": settings.pop("features"), **settings, "use_grads": False}


def _mel_settings(mel: MelSpectrogram) -> dict[str, Any]:
    settings = _settings(mel)
    if settings.pop("feature_version") != 2:
        raise ExportError(
            "preprocessor.feature_version=1 is nothing that NVIDIA NeMo can do",
            hint="NeMo always does what feature_version=2 does; `--set preprocessor.feature_version=2` exports that",
        )
    for name in ("window_size", "window_stride"):
        del settings[name]
    return settings | {"n_window_size": mel.win_length, "n_window_stride": mel.hop_length, "n_fft": mel.n_fft}


def _settings(part: Configured) -> dict[str, Any]:
    """Return the arguments that a part was made with, those that were not given included."""
    given = part.to_config()
    parameters = inspect.signature(type(part)).parameters.values()
    found = {each.name: given.get(each.name, each.default) for each in parameters}
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
