"""How convolutions and linear layers are drawn before training."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from nemo_core.errors import ConfigError

__all__ = ["initialize"]

_MODES: dict[str, Callable[[Tensor], object]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": nn.init.kaiming_uniform_,
    "kaiming_normal": nn.init.kaiming_normal_,
}


def initialize(module: nn.Module, mode: str | None) -> None:
    """Draw the weights of every convolution and linear layer in ``module``; None keeps PyTorch's own.

    Example:
        >>> initialize(nn.Conv1d(4, 4, 3), "xavier_uniform")
    """
    if mode is None:
        return
    if mode not in _MODES:
        raise ConfigError(f"init_mode {mode!r} is not known", hint=f"one of {', '.join(_MODES)}, or null")
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear):
            _MODES[mode](layer.weight)
