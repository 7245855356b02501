"""From tokens to frames and back: durations, and averages over them."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["average_features", "log_to_duration", "regulate_length", "scale_durations"]


def log_to_duration(log_duration: Tensor, shortest: float, longest: float, inside: Tensor) -> Tensor:
    """Return durations (B, T), in frames, of ``log_duration`` (B, T), which is log(frames + 1).

    Args:
        log_duration: What the predictor gives.
        shortest: Least frames of a token.
        longest: Most frames of a token.
        inside: Which tokens count (B, T); the others get no frames.

    Example:
        >>> log_to_duration(torch.tensor([[0.0, 1.0, 9.0]]), 0, 75, torch.tensor([[True, True, True]]))
        tensor([[ 0.0000,  1.7183, 75.0000]])
    """
    return (log_duration.exp() - 1).clamp(shortest, longest) * inside


def scale_durations(durations: Tensor, pace: float | Tensor = 1.0) -> Tensor:
    """Return whole frames (B, T), int64, at ``pace``: 2 halves the durations. It may differ by token (B, T).

    Example:
        >>> scale_durations(torch.tensor([[3.0, 2.4]]), pace=torch.tensor([[2.0, 1.0]]))
        tensor([[2, 2]])
    """
    return (durations.float() / pace + 0.5).floor().long()


def regulate_length(encoded: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``encoded`` tokens (B, T, D) repeated as often as ``frames`` (B, T) says, (B, M, D), and M of each (B,).

    Example:
        >>> repeated, length = regulate_length(torch.tensor([[[1.0], [2.0]]]), torch.tensor([[1, 3]]))
        >>> repeated.flatten(), length
        (tensor([1., 2., 2., 2.]), tensor([4]))
    """
    ends = frames.cumsum(dim=1)
    length = ends[:, -1]
    longest = int(length.max())
    places = torch.arange(longest, device=frames.device).expand(len(frames), longest).contiguous()
    token = torch.searchsorted(ends, places, right=True).clamp(max=frames.shape[1] - 1)
    repeated = encoded.gather(1, token.unsqueeze(2).expand(-1, -1, encoded.shape[2]))
    inside = places < length.unsqueeze(1)
    return repeated * inside.unsqueeze(2), length


def average_features(features: Tensor, frames: Tensor) -> Tensor:
    """Return the mean of ``features`` (B, M) over the frames of each token (B, T), zeros left out.

    A zero says that there is nothing to average, as the pitch of a voiceless frame; a token of nothing else gets zero.

    Example:
        >>> average_features(torch.tensor([[0.0, 2.0, 4.0, 0.0]]), torch.tensor([[3, 1]]))
        tensor([[3., 0.]])
    """
    ends = frames.cumsum(dim=1)
    starts = ends - frames
    # In double precision, since sums over all of an utterance are subtracted from each other.
    sums = torch.nn.functional.pad(features.double().cumsum(1), (1, 0))
    counts = torch.nn.functional.pad((features != 0).cumsum(1), (1, 0))
    total = sums.gather(1, ends) - sums.gather(1, starts)
    count = counts.gather(1, ends) - counts.gather(1, starts)
    return torch.where(count == 0, 0.0, total / count.clamp(min=1)).to(features.dtype)
