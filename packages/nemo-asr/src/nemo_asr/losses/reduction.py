"""From one loss per utterance to the loss of a batch, by the names that NVIDIA's configurations use."""

from __future__ import annotations

from torch import Tensor

from nemo_core.errors import ConfigError

__all__ = ["check_reduction", "reduce_losses"]

_REDUCTIONS = ("mean_batch", "mean_volume", "mean", "sum", "none")


def check_reduction(reduction: str) -> str:
    """Return ``reduction`` if it is known.

    Raises:
        ConfigError: It is not.
    """
    if reduction not in _REDUCTIONS:
        raise ConfigError(f"reduction {reduction!r} is not known", hint=f"one of {', '.join(_REDUCTIONS)}")
    return reduction


def reduce_losses(losses: Tensor, target_length: Tensor, reduction: str) -> Tensor:
    """Reduce the losses (B,) of utterances with ``target_length`` (B,) tokens.

    ``mean_batch``: mean over utterances; ``mean_volume``: sum over utterances, divided by the sum of their tokens;
    ``mean``: mean over utterances of the loss per token; ``sum``; ``none``: as they are. An utterance without tokens
    counts as one of one token.

    >>> import torch
    >>> float(reduce_losses(torch.tensor([3.0, 6.0]), torch.tensor([1, 2]), "mean"))
    3.0
    """
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "mean":
        return (losses / target_length.clamp(min=1)).mean()
    if reduction == "mean_volume":
        return losses.sum() / target_length.sum().clamp(min=1)
    return losses.mean()
