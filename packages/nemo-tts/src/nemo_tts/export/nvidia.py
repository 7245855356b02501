"""Models of synthesis in NVIDIA NeMo's words; the other direction is :mod:`nemo_tts.models.nvidia`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nemo_core.audio.mel import MelSpectrogram
from nemo_core.errors import ExportError
from nemo_core.models import NvidiaModel
from nemo_tts.models.nvidia import SPECTRAL
from nemo_tts.modules.hifigan import HiFiGanGenerator

if TYPE_CHECKING:
    from nemo_core.config.configured import Configured
    from nemo_tts.models.hifigan import HiFiGan

__all__ = ["hifigan_model"]

_HIFIGAN = "nemo.collections.tts.models.hifigan.HifiGanModel"
_GENERATOR = "nemo.collections.tts.modules.hifigan_modules.Generator"
_FEATURES = "nemo.collections.asr.parts.preprocessing.features.FilterbankFeatures"


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
        "train_ds": {"defer_setup": True, "dataset": {"_target_": "nemo.collections.tts.data.dataset.TTSDataset"}},
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
    settings = _settings(mel)
    if settings.pop("feature_version") != 2:
        raise ExportError(
            "preprocessor.feature_version=1 is nothing that NVIDIA NeMo can do",
            hint="NeMo always does what feature_version=2 does; `--set preprocessor.feature_version=2` exports that",
        )
    for name in ("window_size", "window_stride"):
        del settings[name]
    settings |= {"n_window_size": mel.win_length, "n_window_stride": mel.hop_length, "n_fft": mel.n_fft}
    return {"_target_": _FEATURES, "nfilt": settings.pop("features"), **settings, "use_grads": False}


def _settings(part: Configured) -> dict[str, Any]:
    """Return the arguments that a part was made with, those that were not given included."""
    given = part.to_config()
    parameters = inspect.signature(type(part)).parameters.values()
    found = {each.name: given.get(each.name, each.default) for each in parameters}
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
