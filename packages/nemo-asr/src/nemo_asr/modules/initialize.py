"""How convolutions and linear layers are drawn before training."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from nemo_core.errors import ConfigError

__all__ = ["initialize"]


def _tds_uniform(weight: Tensor) -> Tensor:
    bound = _tds_bound(weight)
    return nn.init.uniform_(weight, -bound, bound)


def _tds_normal(weight: Tensor) -> Tensor:
    return nn.init.normal_(weight, std=_tds_bound(weight))


def _tds_bound(weight: Tensor) -> float:
    """Return the bound of time-depth separable convolutions (Hannun et al., 2019, arXiv:1904.02619)."""
    return 2 / math.sqrt(weight[0].numel())


_MODES: dict[str, Callable[[Tensor], object]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": nn.init.kaiming_uniform_,
    "kaiming_normal": nn.init.kaiming_normal_,
    "tds_uniform": _tds_uniform,
    "tds_normal": _tds_normal,
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
