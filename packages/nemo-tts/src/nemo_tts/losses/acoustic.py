"""What an acoustic model is to come near to: spectrogram, durations, pitch and energy."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from nemo_core import types as nt
from nemo_core.modules import Loss
from nemo_tts.losses.masked import masked_mean

__all__ = ["DurationLoss", "EnergyLoss", "MelLoss", "PitchLoss"]


class MelLoss(Loss):
    """Squared distance of two spectrograms, averaged over all bins of all frames that are no padding.

    Example:
        >>> import torch
        >>> loss = MelLoss()
        >>> loss(torch.zeros(1, 2, 3), torch.ones(1, 2, 3), torch.tensor([2]))
        tensor(1.)
    """

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``predicted`` and ``spectrogram`` (B, D, M), ``length`` (B,) in frames."""
        return {
            "predicted": nt.NeuralType(("B", "D", "T"), nt.MelSpectrogram()),
            "spectrogram": nt.NeuralType(("B", "D", "T"), nt.MelSpectrogram()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @nt.typed
    def forward(self, predicted: Tensor, spectrogram: Tensor, length: Tensor) -> Tensor:
        """Return the loss."""
        return masked_mean(F.mse_loss(predicted.float(), spectrogram.float(), reduction="none"), length)


class DurationLoss(Loss):
    """Squared distance of log(1 + frames) of each token.

    Args:
        scale: What it is multiplied with.

    Example:
        >>> import torch
        >>> DurationLoss(scale=1.0)(torch.zeros(1, 2), torch.tensor([[0, 0]]), torch.tensor([2]))
        tensor(0.)
    """

    def __init__(self, scale: float = 0.1) -> None:
        super().__init__()
        self.scale = scale

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``log_durations`` and ``durations`` (B, T), ``length`` (B,) in tokens."""
        return {
            "log_durations": nt.NeuralType(("B", "T"), nt.RegressionValues()),
            "durations": nt.NeuralType(("B", "T"), nt.TokenDuration()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @nt.typed
    def forward(self, log_durations: Tensor, durations: Tensor, length: Tensor) -> Tensor:
        """Return the loss."""
        wanted = durations.float().log1p()
        return self.scale * masked_mean(F.mse_loss(log_durations.float(), wanted, reduction="none"), length)


class _TokenLoss(Loss):
    """Squared distance of one number for each token.

    Args:
        scale: What it is multiplied with.
    """

    def __init__(self, scale: float = 0.1) -> None:
        super().__init__()
        self.scale = scale

    @functools.cached_property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``predicted`` and ``wanted`` (B, T), ``length`` (B,) in tokens."""
        return {
            "predicted": nt.NeuralType(("B", "T"), nt.RegressionValues()),
            "wanted": nt.NeuralType(("B", "T"), nt.RegressionValues()),
            "length": nt.NeuralType(("B",), nt.Lengths()),
        }

    @nt.typed
    def forward(self, predicted: Tensor, wanted: Tensor, length: Tensor) -> Tensor:
        """Return the loss."""
        return self.scale * masked_mean(F.mse_loss(predicted.float(), wanted.float(), reduction="none"), length)


class PitchLoss(_TokenLoss):
    """Squared distance of the pitch of each token.

    Args:
        scale: What it is multiplied with.

    Example:
        >>> import torch
        >>> PitchLoss(scale=1.0)(torch.zeros(1, 2), torch.tensor([[2.0, 7.0]]), torch.tensor([1]))
        tensor(4.)
    """


class EnergyLoss(_TokenLoss):
    """Squared distance of the energy of each token.

    Args:
        scale: What it is multiplied with.

    Example:
        >>> import torch
        >>> EnergyLoss(scale=1.0)(torch.zeros(1, 2), torch.tensor([[2.0, 7.0]]), torch.tensor([1]))
        tensor(4.)
    """
