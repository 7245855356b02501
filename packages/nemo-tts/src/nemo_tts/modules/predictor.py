"""Predicts one number for each token: its duration, its pitch or its energy."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.errors import ConfigError
from nemo_core.modules import NeuralModule
from nemo_core.modules.dropout import Dropout
from nemo_tts.modules.conditioning import ConditionalInput, ConditionalLayerNorm
from nemo_tts.modules.masks import length_mask
from nemo_tts.modules.time_conv import TimeConv

__all__ = ["TemporalPredictor"]


class TemporalPredictor(NeuralModule):
    """Convolutions over encoded tokens, and a number for each (FastPitch, Łańcucki, ICASSP 2021).

    Args:
        input_size: Channels of the encoded tokens.
        filter_size: Channels of the convolutions.
        kernel_size: Of the convolutions; odd.
        dropout: After each convolution.
        n_layers: Convolutions.
        condition_types: How a condition comes in; see :mod:`nemo_tts.modules.conditioning`.

    Example:
        >>> import torch
        >>> predictor = TemporalPredictor(input_size=8, filter_size=4)
        >>> predictor(encoded=torch.randn(2, 5, 8), length=torch.tensor([5, 3])).shape
        torch.Size([2, 5])
    """

    def __init__(
        self,
        input_size: int,
        filter_size: int = 256,
        kernel_size: int = 3,
        dropout: float = 0.1,
        n_layers: int = 2,
        condition_types: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ConfigError(f"kernel_size {kernel_size} is even", hint="give an odd one, such as 3")
        self.input_size = input_size
        self.cond_input = ConditionalInput(input_size, input_size, condition_types)
        self.layers = nn.ModuleList(
            _ConvReLUNorm(
                filter_size if i else input_size, filter_size, input_size, kernel_size, dropout, condition_types
            )
            for i in range(n_layers)
        )
        self.fc = nn.Linear(filter_size, 1)

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``encoded`` (B, T, D), ``length`` (B,), and a ``condition`` (B, 1, D) where one is used."""
        return {
            "encoded": nt.NeuralType(("B", "T", f"D:{self.input_size}"), nt.EncodedRepresentation()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
            "condition": nt.NeuralType(("B", "T", "D"), nt.EncodedRepresentation(), optional=True),
        }

    @functools.cached_property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``predicted`` (B, T), zero beyond the ends."""
        return {"predicted": nt.NeuralType(("B", "T"), nt.RegressionValues())}

    @nt.typed
    def forward(self, encoded: Tensor, length: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return one number for each token (B, T)."""
        inside = length_mask(length, encoded.shape[1]).unsqueeze(2)
        x = self.cond_input(encoded, condition)
        for layer in self.layers:
            x = layer(x * inside, condition)
        return (self.fc(x) * inside).squeeze(2)


class _ConvReLUNorm(nn.Module):
    def __init__(
        self,
        channels: int,
        out_channels: int,
        condition_channels: int,
        kernel_size: int,
        dropout: float,
        condition_types: Sequence[str],
    ) -> None:
        super().__init__()
        self.conv = TimeConv(channels, out_channels, kernel_size)
        self.norm = ConditionalLayerNorm(out_channels, condition_channels, condition_types)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self.drop(self.norm(F.relu(self.conv(x)), condition))
