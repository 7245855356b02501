"""Flow matching along straight lines."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from nemo_core.errors import ConfigError
from nemo_mm.diffusion.noise import SeededNoise
from nemo_mm.diffusion.process import Predict, Process, expand

__all__ = ["FlowMatching"]


class FlowMatching(Process):
    """Straight lines from images to noise, and a network that predicts the velocity along them.

    Flow matching with the linear path (Lipman et al., ICLR 2023), which is rectified flow (Liu et al., ICLR 2023): at
    time ``t`` the image is ``(1 - t) * image + t * noise``, and its velocity is ``noise - image``. Sampling solves the
    differential equation from 1 to 0. Times are drawn from a logit-normal distribution, which dwells in the middle,
    where the velocity is hard to tell (Esser et al., ICML 2024), or evenly.

    Args:
        times: ``logit_normal`` or ``uniform``.
        mean: Of the logit of the time; above 0 dwells on noise.
        std: Of the logit of the time.
        shift: Above 1 there is more noise at every time, in training and in sampling, as large images need (ibid.).
        sampler: ``heun`` (two evaluations of the network a step but the last), ``midpoint`` (two) or ``euler`` (one);
            what is taken if :meth:`sample` is given none.

    Raises:
        ConfigError: A name is not known, or ``std`` or ``shift`` is not positive.

    Example:
        The velocity to a single point is known, and any sampler gets there:

        >>> flow = FlowMatching()
        >>> to_point = lambda x, t: (x - 3.0) / expand(t, x)
        >>> flow.sample(to_point, SeededNoise([1, 2], (2,)), 4)
        tensor([[3., 3.],
                [3., 3.]])
    """

    samplers = ("heun", "midpoint", "euler")

    def __init__(
        self,
        times: Literal["logit_normal", "uniform"] = "logit_normal",
        mean: float = 0.0,
        std: float = 1.0,
        shift: float = 1.0,
        sampler: str = "heun",
    ) -> None:
        if times not in ("logit_normal", "uniform"):
            raise ConfigError(f"FlowMatching: times {times!r} is not known", hint="logit_normal or uniform")
        if std <= 0 or shift <= 0:
            raise ConfigError(f"FlowMatching: std {std} and shift {shift} have to be positive")
        self.distribution, self.mean, self.std, self.shift = times, mean, std, shift
        self.sampler = self.check(1, sampler)

    def times(self, uniform: Tensor) -> Tensor:
        """Return times (B,) in (0, 1)."""
        drawn = uniform
        if self.distribution == "logit_normal":
            normal = torch.special.ndtri(uniform.double().clamp(1e-6, 1 - 1e-6)).float()
            drawn = torch.sigmoid(self.mean + self.std * normal)
        return self._shifted(drawn)

    def noisy(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return the points at the times on the lines."""
        return torch.lerp(clean, noise, expand(time, clean))

    def target(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return the velocities, which are the same at all times."""
        return noise - clean

    def sample(
        self,
        predict: Predict,
        noise: SeededNoise,
        steps: int,
        *,
        sampler: str | None = None,
        after_step: Callable[[], None] | None = None,
    ) -> Tensor:
        """Follow the velocity from noise to images (B, ...) in equal steps of time."""
        step = _STEPS[self.check(steps, sampler or self.sampler)]
        x = noise()
        grid = self._shifted(torch.linspace(1, 0, steps + 1, dtype=torch.float64)).tolist()
        for now, then in itertools.pairwise(grid):
            x = step(lambda x, t: predict(x, x.new_full((len(x),), t)), x, now, then)
            if after_step is not None:
                after_step()
        return x

    def evaluations(self, steps: int, sampler: str | None = None) -> int:
        """Return how often sampling asks the network.

        >>> FlowMatching().evaluations(25), FlowMatching().evaluations(25, "euler")
        (49, 25)
        """
        name = self.check(steps, sampler or self.sampler)
        return {"euler": steps, "midpoint": 2 * steps, "heun": 2 * steps - 1}[name]

    def _shifted(self, time: Tensor) -> Tensor:
        return self.shift * time / (1 + (self.shift - 1) * time)


_Velocity = Callable[[Tensor, float], Tensor]


def _euler(velocity: _Velocity, x: Tensor, now: float, then: float) -> Tensor:
    return x + (then - now) * velocity(x, now)


def _midpoint(velocity: _Velocity, x: Tensor, now: float, then: float) -> Tensor:
    half = (then - now) / 2
    return x + (then - now) * velocity(x + half * velocity(x, now), now + half)


def _heun(velocity: _Velocity, x: Tensor, now: float, then: float) -> Tensor:
    first = velocity(x, now)
    ahead = x + (then - now) * first
    if then == 0:  # at the very end velocities are those of no noise, which no network has learned
        return ahead
    return x + (then - now) / 2 * (first + velocity(ahead, then))


_STEPS = {"euler": _euler, "midpoint": _midpoint, "heun": _heun}
