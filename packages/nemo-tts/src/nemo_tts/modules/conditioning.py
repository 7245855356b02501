"""How a voice, as a vector, reaches the layers of a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nemo_core.errors import ConfigError

__all__ = ["ConditionalInput", "ConditionalLayerNorm", "check_condition_types"]

_TYPES = ("add", "concat", "layernorm")


def check_condition_types(types: Sequence[str]) -> list[str]:
    """Return ``types`` as a list.

    Raises:
        ConfigError: One is none of ``add``, ``concat`` and ``layernorm``.
    """
    for each in types:
        if each not in _TYPES:
            raise ConfigError(f"condition_types: {each!r} is not known", hint=f"any of {', '.join(_TYPES)}")
    return list(types)


class ConditionalInput(nn.Module):
    """Adds a condition to what goes into a network, or joins the two.

    Args:
        channels: Of the input.
        condition_channels: Of the condition.
        condition_types: ``add`` and ``concat``, one, both or neither; in this order.

    Example:
        >>> condition = ConditionalInput(4, 4, ["add"])
        >>> condition(torch.zeros(1, 2, 4), torch.ones(1, 1, 4))[0, 1]
        tensor([1., 1., 1., 1.])
    """

    def __init__(self, channels: int, condition_channels: int, condition_types: Sequence[str] = ()) -> None:
        super().__init__()
        self.condition_types = check_condition_types(condition_types)
        if "add" in self.condition_types and channels != condition_channels:
            self.add_proj = nn.Linear(condition_channels, channels)
        if "concat" in self.condition_types:
            self.concat_proj = nn.Linear(channels + condition_channels, channels)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return (B, T, D) of ``x`` (B, T, D) under ``condition`` (B, 1, C).

        Raises:
            ConfigError: A condition is needed, and there is none.
        """
        if not {"add", "concat"} & set(self.condition_types):
            return x
        condition = needed(condition)
        if "add" in self.condition_types:
            x = x + (self.add_proj(condition) if hasattr(self, "add_proj") else condition)
        if "concat" in self.condition_types:
            x = self.concat_proj(torch.cat((x, condition.expand(-1, x.shape[1], -1)), dim=2))
        return x


class ConditionalLayerNorm(nn.LayerNorm):
    """Layer norm whose scale and offset a condition sets, where ``condition_types`` has ``layernorm``.

    Adaptive layer norm as in AdaSpeech (Chen et al., ICLR 2021).

    Args:
        channels: Of the input.
        condition_channels: Of the condition.
        condition_types: Without ``layernorm``, this is a plain layer norm.
    """

    def __init__(self, channels: int, condition_channels: int, condition_types: Sequence[str] = ()) -> None:
        conditional = "layernorm" in check_condition_types(condition_types)
        super().__init__(channels, elementwise_affine=not conditional)
        self.conditional = conditional
        if self.conditional:
            self.cond_weight = nn.Linear(condition_channels, channels)
            self.cond_bias = nn.Linear(condition_channels, channels)
            nn.init.zeros_(self.cond_weight.weight)
            nn.init.ones_(self.cond_weight.bias)
            nn.init.zeros_(self.cond_bias.weight)
            nn.init.zeros_(self.cond_bias.bias)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return ``x`` (B, T, D), normalised."""
        x = super().forward(x)
        if self.conditional:
            condition = needed(condition)
            x = x * self.cond_weight(condition) + self.cond_bias(condition)
        return x


def needed(condition: Tensor | None) -> Tensor:
    """Return the condition, which has to be there."""
    if condition is None:
        raise ConfigError("the network is conditioned on a speaker, and none is given", hint="give speaker")
    return condition
