"""What NVIDIA's configurations call the losses of transducers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_asr.losses.transducer import TransducerLoss

__all__ = ["transducer_loss_config", "transducer_loss_section"]

_DEFAULT = "warprnnt_numba"
#: NVIDIA's name -> ours; implementations of one loss are one loss.
_LOSSES = {
    "warprnnt": "asr.RNNTLoss",
    "warprnnt_numba": "asr.RNNTLoss",
    "pytorch": "asr.RNNTLoss",
    "graph_rnnt": "asr.RNNTLoss",
    "multiblank_rnnt": "asr.MultiblankRNNTLoss",
    "multiblank_rnnt_pytorch": "asr.MultiblankRNNTLoss",
    "tdt": "asr.TDTLoss",
    "tdt_pytorch": "asr.TDTLoss",
}
_SETTINGS = {
    "asr.RNNTLoss": ("fastemit_lambda", "clamp"),
    "asr.MultiblankRNNTLoss": ("fastemit_lambda", "clamp", "sigma", "big_blank_durations"),
    "asr.TDTLoss": ("fastemit_lambda", "clamp", "sigma", "omega", "durations"),
}


def transducer_loss_config(loss: Mapping[str, Any] | None, blank: int, reduction: str = "mean_batch") -> dict[str, Any]:
    """Return our configuration for the ``loss`` section of one of NVIDIA's transducers.

    Settings of an implementation that say nothing about the loss are left out.

    Args:
        loss: ``{"loss_name": ..., "<loss_name>_kwargs": {...}}``; nothing: RNN-T.
        blank: Index of the blank.
        reduction: NVIDIA's ``rnnt_reduction``.

    Raises:
        ConfigError: A loss that we do not have.

    Example:
        >>> transducer_loss_config({"loss_name": "tdt", "tdt_kwargs": {"durations": [0, 1], "sigma": 0.05}}, blank=9)
        {'_target_': 'asr.TDTLoss', 'blank': 9, 'reduction': 'mean_batch', 'sigma': 0.05, 'durations': [0, 1]}
    """
    section = loss or {}
    name = section.get("loss_name") or "default"
    if name == "default":
        name = _DEFAULT
    if name not in _LOSSES:
        raise ConfigError(f"loss.loss_name {name!r} is not known", hint=f"one of default, {', '.join(_LOSSES)}")
    target = _LOSSES[name]
    given = section.get(f"{name}_kwargs") or {}
    settings = {setting: given[setting] for setting in _SETTINGS[target] if given.get(setting) is not None}
    return {"_target_": target, "blank": blank, "reduction": reduction, **settings}


def transducer_loss_section(loss: TransducerLoss) -> dict[str, Any]:
    """Return the ``loss`` section of NVIDIA's transducers for a loss of ours: the way back.

    Example:
        >>> from nemo_asr.losses import TDTLoss
        >>> transducer_loss_section(TDTLoss(blank=9, durations=[0, 1], sigma=0.05))
        {'loss_name': 'tdt', 'tdt_kwargs': {'sigma': 0.05, 'durations': [0, 1]}}
    """
    node = loss.to_config()
    target = node["_target_"]
    name = _DEFAULT if _LOSSES[_DEFAULT] == target else next(name for name, ours in _LOSSES.items() if ours == target)
    return {
        "loss_name": name,
        f"{name}_kwargs": {setting: node[setting] for setting in _SETTINGS[target] if setting in node},
    }
