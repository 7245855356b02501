"""Mel features in the configurations of NVIDIA NeMo, as recognition and synthesis both read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nemo_core.errors import ArchiveError

__all__ = ["IGNORED", "mel_config", "nemo_version"]

#: Settings of NVIDIA's features that change nothing in evaluation, or nothing any more.
IGNORED = {"nb_augmentation_prob", "nb_max_freq", "rng", "stft_conv", "stft_exact_pad", "use_grads", "use_torchaudio"}

_CHANGED_IN = (2, 5)
# What the class inside NVIDIA's preprocessor calls it, which configurations of vocoders name directly.
_RENAMED = {"nfilt": "features"}


def mel_config(config: Mapping[str, Any], key: str = "preprocessor") -> dict[str, Any]:
    """Return the node of the mel features, with the version that the model was trained with.

    Args:
        config: NVIDIA's configuration of the whole model.
        key: Its section.

    Raises:
        ArchiveError: There is no such section.

    Example:
        >>> mel_config({"nemo_version": "2.4.0", "preprocessor": {"_target_": "x.FilterbankFeatures", "nfilt": 80}})
        {'_target_': 'MelSpectrogram', 'features': 80, 'feature_version': 1}
    """
    section = config.get(key)
    if not isinstance(section, Mapping) or "_target_" not in section:
        raise ArchiveError(f"the configuration has no section {key} with a _target_")
    known = {name: value for name, value in section.items() if name not in IGNORED}
    node = {_RENAMED.get(name, name): value for name, value in known.items()} | {"_target_": "MelSpectrogram"}
    for name in ("window_size", "window_stride"):
        if node.get(name) is False:  # "use the one in samples"
            del node[name]
    if node.get("pad_to") == "max":
        node["pad_to"] = 0  # NeMo pads to the longest training utterance, which nothing depends on
    if nemo_version(config) < _CHANGED_IN:
        node["feature_version"] = 1
    return node


def nemo_version(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the release of NVIDIA NeMo that wrote ``config``; where it does not say, one later than all.

    Example:
        >>> nemo_version({"nemo_version": "2.5.0rc0"})
        (2, 5)
    """
    return tuple(int(part) for part in str(config.get("nemo_version", "99")).split(".")[:2] if part.isdigit())
