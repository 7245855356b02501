"""What all speech models have in common when they are said in NVIDIA NeMo's words.

The other direction is :mod:`nemo_asr.models.nvidia`. Arguments and weights have NVIDIA's names, so that a section of
theirs is our node with every argument written out, under the name that is an alias of our class in the registry.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nemo_asr.models.nvidia import ONLY_OURS
from nemo_asr.modules.conv_encoder import ConvASREncoder, written_out
from nemo_asr.modules.jasper import MaskedConv1d
from nemo_asr.modules.mfcc import MFCC
from nemo_core.audio.mel import MelSpectrogram
from nemo_core.errors import ExportError

if TYPE_CHECKING:
    from nemo_asr.models.speech_model import SpeechModel
    from nemo_core.audio.front_end import FrontEnd
    from nemo_core.config.configured import Configured

__all__ = ["acoustic_sections", "all_settings", "check_model", "data_sections", "section", "weights"]


def acoustic_sections(model: Any) -> dict[str, Any]:
    """Return the sections of what every model begins with: features, what they go through in training, and encoder."""
    sections = {"sample_rate": model.sample_rate, "preprocessor": section(model.preprocessor, "preprocessor")}
    if model.spec_augment is not None:
        sections["spec_augment"] = section(model.spec_augment, "spec_augment")
    return {**sections, "encoder": section(model.encoder, "encoder")}


def data_sections(model: SpeechModel, **settings: Any) -> dict[str, Any]:
    """Return the sections of data: no data, but the settings that NVIDIA NeMo looks up there when it infers."""
    common = {"manifest_filepath": None, "sample_rate": model.sample_rate, "batch_size": 1, "shuffle": False}
    return {name: {**common, **settings} for name in ("train_ds", "validation_ds")}


def section(part: Configured, where: str, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return NVIDIA's section for a part of a model.

    Args:
        part: A module, such as an encoder.
        where: The model's argument that it is, for errors.
        without: Settings to leave out.

    Raises:
        ExportError: NVIDIA NeMo has no such class, or not such a setting.
    """
    from nemo_core.plugins import registry

    component = registry().find(registry().name_of(type(part)) or "")
    theirs = [alias for alias in component.aliases if alias.startswith("nemo.")] if component else []
    if component is None or not theirs:
        raise ExportError(f"{where}: {type(part).__qualname__} has no counterpart in NVIDIA NeMo")
    settings = {setting: value for setting, value in all_settings(part).items() if setting not in without}
    for setting, value in ONLY_OURS.get(component.name, {}).items():
        _check_setting(f"{where}.{setting}", settings.pop(setting), value)
    if isinstance(part, ConvASREncoder):
        settings["jasper"] = [written_out(block) for block in settings["jasper"]]
    return {"_target_": theirs[0], **settings}


def all_settings(part: Configured) -> dict[str, Any]:
    """Return the arguments that a part was made with, those that were not given included."""
    given = part.to_config()
    parameters = inspect.signature(type(part)).parameters.values()
    return {each.name: given.get(each.name, each.default) for each in parameters}


def check_model(model: SpeechModel) -> None:
    """Refuse settings of the model itself that NVIDIA NeMo does not have."""
    from nemo_core.plugins import registry

    for setting, needed in ONLY_OURS.get(registry().name_of(type(model)) or "", {}).items():
        _check_setting(setting, getattr(model, setting), needed)


def _check_setting(where: str, value: Any, needed: Any) -> None:
    """Refuse a setting that NVIDIA NeMo does not have, unless it is the one by which we do what NeMo does."""
    if value != needed:
        spelt = "null" if needed is None else str(needed).lower() if isinstance(needed, bool) else needed
        raise ExportError(
            f"{where}={value!r} is nothing that NVIDIA NeMo can do",
            hint=f"NeMo always does what {where}={spelt} does; `--set {where}={spelt}` exports that",
        )


def weights(model: SpeechModel, renamed: Mapping[str, str] | None = None) -> dict[str, Tensor]:
    """Return the weights under NVIDIA's names, with the constants of the features that it keeps among them.

    Args:
        model: The model.
        renamed: Beginnings of our names, and what NVIDIA's begin with in their place.
    """
    bare = [f"{name}." for name, conv in model.named_modules() if isinstance(conv, MaskedConv1d) and not conv.mask]
    state = _feature_constants(model.preprocessor)
    for name, weight in model.state_dict().items():
        theirs = name
        for ours, prefix in {**{f"{stem}conv.": stem for stem in bare}, **(renamed or {})}.items():
            if name.startswith(ours):
                theirs = prefix + name.removeprefix(ours)
        state[theirs] = weight
    return state


def _feature_constants(front_end: FrontEnd) -> dict[str, Tensor]:
    constants: Mapping[str, Tensor] = {}
    if isinstance(front_end, MelSpectrogram):
        constants = {"window": front_end.window, "fb": front_end.filterbank.unsqueeze(0)}
        if all_settings(front_end)["window"] is None:
            constants = {"fb": constants["fb"]}
    elif isinstance(front_end, MFCC):
        constants = {
            "dct_mat": front_end.dct.T,
            "MelSpectrogram.spectrogram.window": front_end.window,
            "MelSpectrogram.mel_scale.fb": front_end.filterbank.T,
        }
    return {f"preprocessor.featurizer.{name}": value for name, value in constants.items()}
