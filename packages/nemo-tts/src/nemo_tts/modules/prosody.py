"""What can be wished of a voice: pitch higher, livelier or flatter, and more or less loud."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["shift_energy", "shift_pitch", "spread_pitch"]


def shift_pitch(pitch: Tensor, semitones: float | Tensor, mean: float, deviation: float) -> Tensor:
    """Return the normalised pitch (B, T) of a voice that many semitones higher.

    Args:
        pitch: Normalised pitch (B, T).
        semitones: How much higher, one for all or (B, T).
        mean: What a pitch of 0 stands for, Hz.
        deviation: What a pitch of 1 is above that, Hz.

    Example:
        >>> shift_pitch(torch.zeros(1, 1), 12.0, mean=100.0, deviation=50.0)
        tensor([[2.]])
    """
    hertz = pitch * deviation + mean
    return (hertz * 2 ** (torch.as_tensor(semitones, device=pitch.device) / 12) - mean) / deviation


def spread_pitch(pitch: Tensor, factor: float | Tensor, inside: Tensor) -> Tensor:
    """Return pitch (B, T) that many times as far from its mean: 0 is a monotone, 2 lively, -1 upside down.

    Args:
        pitch: Normalised pitch (B, T).
        factor: How many times, one for all or (B, T).
        inside: Which tokens count (B, T).

    Example:
        >>> spread_pitch(torch.tensor([[1.0, 3.0]]), 2.0, torch.tensor([[True, True]]))
        tensor([[0., 4.]])
    """
    mean = (pitch * inside).sum(1, keepdim=True) / inside.sum(1, keepdim=True).clamp(min=1)
    return mean + factor * (pitch - mean)


def shift_energy(energy: Tensor, decibels: float | Tensor) -> Tensor:
    """Return the logarithmic energy (B, T), log(1 + norm of the spectrum), of a voice that many decibels louder.

    Args:
        energy: Logarithmic energy (B, T).
        decibels: How much louder, one for all or (B, T).

    Example:
        >>> shift_energy(torch.tensor([[2.0]]).log1p(), 20.0).expm1()
        tensor([[20.0000]])
    """
    gain = 10 ** (torch.as_tensor(decibels, device=energy.device) / 20)
    return (energy.expm1().clamp(min=0) * gain).log1p()
