"""What every process of noising has: times, noisy images, what is to be predicted, and a way back."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from nemo_mm.diffusion.noise import SeededNoise

__all__ = ["Predict", "Process", "expand"]

Predict = Callable[[Tensor, Tensor], Tensor]
"""A trained network under its condition: noisy images (B, ...) and times (B,) to a prediction (B, ...)."""


class Process(Configured, abc.ABC):
    """A process that leads from images, at time 0, to noise, at time 1.

    Training draws a time and noise for each image, shows the network the :meth:`noisy` image, and asks for the
    :meth:`target`; :meth:`sample` goes from noise back to images, asking the network again and again.
    """

    #: Names of the samplers, the first is the default.
    samplers: Sequence[str] = ()

    @abc.abstractmethod
    def times(self, uniform: Tensor) -> Tensor:
        """Return the times (B,) to train on, for numbers (B,) spread evenly over (0, 1)."""

    @abc.abstractmethod
    def noisy(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return images (B, ...) with as much noise as belongs to the times (B,)."""

    @abc.abstractmethod
    def target(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return what the network is to predict (B, ...)."""

    def weight(self, time: Tensor) -> Tensor:
        """Return how much the error at each time counts (B,)."""
        return torch.ones_like(time)

    @abc.abstractmethod
    def evaluations(self, steps: int, sampler: str | None = None) -> int:
        """Return how often the network is asked in so many steps."""

    @abc.abstractmethod
    def sample(
        self,
        predict: Predict,
        noise: SeededNoise,
        steps: int,
        *,
        sampler: str | None = None,
        after_step: Callable[[], None] | None = None,
    ) -> Tensor:
        """Return images (B, ...) made of noise.

        Args:
            predict: The trained network.
            noise: Where the first image, and all noise on the way, comes from.
            steps: More are slower and, up to a point, better.
            sampler: One of ``samplers``.
            after_step: Called after each step.

        Raises:
            ConfigError: There is no such sampler, or no step.
        """

    def loss(self, predicted: Tensor, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return the weighted mean square error of each image (B,)."""
        error = (predicted.float() - self.target(clean, noise, time).float()).square().flatten(1).mean(1)
        return self.weight(time) * error

    def check(self, steps: int, sampler: str | None = None) -> str:
        """Return the sampler that is meant.

        Raises:
            ConfigError: There is no such sampler, or no step.
        """
        if steps < 1:
            raise ConfigError(f"sampling takes at least one step, not {steps}", hint="20 to 50 are usual")
        name = sampler or self.samplers[0]
        if name not in self.samplers:
            raise ConfigError(
                f"{type(self).__name__} has no sampler {name!r}", hint=f"it has {', '.join(self.samplers)}"
            )
        return name


def expand(values: Tensor, like: Tensor) -> Tensor:
    """Return one number for each item (B,), shaped so that it multiplies ``like`` (B, ...).

    >>> expand(torch.ones(2), torch.ones(2, 3, 4)).shape
    torch.Size([2, 1, 1])
    """
    return values.reshape(-1, *[1] * (like.ndim - 1)).to(like.dtype)
