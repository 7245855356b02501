"""Denoising diffusion in discrete steps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from nemo_core.errors import ConfigError
from nemo_mm.diffusion.noise import SeededNoise
from nemo_mm.diffusion.process import Predict, Process, expand

__all__ = ["GaussianDiffusion", "alphas_cumulative"]


class GaussianDiffusion(Process):
    """Noise in a thousand small steps, and a network that predicts it (Ho et al., NeurIPS 2020).

    After step ``k`` the image is ``sqrt(a) * image + sqrt(1 - a) * noise`` with the schedule's ``a[k]``; the time that
    the network is told is ``(k + 1) / train_steps``. It predicts the noise (``epsilon``), or ``v = sqrt(a) * noise -
    sqrt(1 - a) * image`` (Salimans and Ho, ICLR 2022).

    Args:
        train_steps: Steps of the noising.
        schedule: ``cosine`` (Nichol and Dhariwal, ICML 2021) or ``linear`` (Ho et al.: the variances of the steps grow
            from 0.0001 to 0.02, for any number of steps as for a thousand).
        prediction: ``v`` or ``epsilon``.
        min_snr: Where the signal-to-noise ratio is above this, errors count less (Hang et al., ICCV 2023; 5 is theirs);
            None: errors of what is predicted count alike at all times.
        sampler: ``ddim`` (Song et al., ICLR 2021) or ``ddpm``, which adds noise again at each step; what is taken if
            :meth:`sample` is given none.
        eta: Noise that ddim adds at each step: 0 is none, 1 as much as ddpm.
        clip: Images estimated on the way are kept within minus this and this; 1 for pixels, None for latents.

    Raises:
        ConfigError: A name is not known or a number out of range.

    Example:
        The noise in an image of a single point is known, and the sampler gets there:

        >>> process = GaussianDiffusion(prediction="epsilon", clip=None)
        >>> def predict(x, t):
        ...     a = expand(process.signal(t), x)
        ...     return (x - a.sqrt() * 0.5) / (1 - a).sqrt()
        >>> process.sample(predict, SeededNoise([1], (2,)), 5)
        tensor([[0.5000, 0.5000]])
    """

    samplers = ("ddim", "ddpm")

    def __init__(
        self,
        train_steps: int = 1000,
        schedule: Literal["cosine", "linear"] = "cosine",
        prediction: Literal["v", "epsilon"] = "v",
        min_snr: float | None = 5.0,
        sampler: str = "ddim",
        eta: float = 0.0,
        clip: float | None = 1.0,
    ) -> None:
        if prediction not in ("v", "epsilon"):
            raise ConfigError(f"GaussianDiffusion: prediction {prediction!r} is not known", hint="v or epsilon")
        if not 0 <= eta <= 1:
            raise ConfigError(f"GaussianDiffusion: eta {eta} is not between 0 and 1")
        if (min_snr is not None and min_snr <= 0) or (clip is not None and clip <= 0):
            raise ConfigError(f"GaussianDiffusion: min_snr {min_snr} and clip {clip} have to be positive, or null")
        self.train_steps, self.schedule, self.prediction = train_steps, schedule, prediction
        self.min_snr, self.eta, self.clip = min_snr, eta, clip
        self.table = alphas_cumulative(schedule, train_steps)
        self.sampler = self.check(1, sampler)

    def times(self, uniform: Tensor) -> Tensor:
        """Return the times (B,) of steps drawn evenly."""
        return ((uniform * self.train_steps).floor().clamp(max=self.train_steps - 1) + 1) / self.train_steps

    def signal(self, time: Tensor) -> Tensor:
        """Return ``a``, the part of the variance that is image, at each time (B,), float64; 1 at time 0."""
        index = (time.double() * self.train_steps).round().long()
        return self.table.to(time.device)[index]

    def noisy(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return the images after the steps that belong to the times."""
        a = self.signal(time)
        return expand(a.sqrt(), clean) * clean + expand((1 - a).sqrt(), clean) * noise

    def target(self, clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
        """Return the noise, or v."""
        if self.prediction == "epsilon":
            return noise
        a = self.signal(time)
        return expand(a.sqrt(), clean) * noise - expand((1 - a).sqrt(), clean) * clean

    def weight(self, time: Tensor) -> Tensor:
        """Return the min-SNR weights (B,)."""
        if self.min_snr is None:
            return torch.ones_like(time)
        a = self.signal(time)
        snr = a / (1 - a).clamp(min=1e-12)
        # The error of the image is that of the noise times 1 / snr, and that of v times 1 / (snr + 1).
        against = snr if self.prediction == "epsilon" else snr + 1
        return (snr.clamp(max=self.min_snr) / against.clamp(min=1e-12)).to(time.dtype)

    def sample(
        self,
        predict: Predict,
        noise: SeededNoise,
        steps: int,
        *,
        sampler: str | None = None,
        after_step: Callable[[], None] | None = None,
    ) -> Tensor:
        """Take noise away in ``steps`` of the training's steps, evenly chosen, the last among them.

        ddpm's steps are those of ddim with ``eta`` 1: mean and variance are the posterior's.

        Raises:
            ConfigError: There are more steps than in training.
        """
        eta = 1.0 if self.check(steps, sampler or self.sampler) == "ddpm" else self.eta
        if steps > self.train_steps:
            raise ConfigError(
                f"{steps} steps of sampling are more than the {self.train_steps} of training", hint="20 to 50 are usual"
            )
        x = noise()
        chosen = torch.linspace(self.train_steps, 0, steps + 1, dtype=torch.float64).round().long().tolist()
        for now, then in itertools.pairwise(chosen):
            predicted = predict(x, x.new_full((len(x),), now / self.train_steps))
            clean, seen = self._split(x, predicted, self.table[now].item())
            x = self._step(clean, seen, self.table[now].item(), self.table[then].item(), eta, noise)
            if after_step is not None:
                after_step()
        return x

    def evaluations(self, steps: int, sampler: str | None = None) -> int:
        """Return how often sampling asks the network: once a step."""
        self.check(steps, sampler)
        return steps

    def _split(self, x: Tensor, predicted: Tensor, a: float) -> tuple[Tensor, Tensor]:
        """Return the image and the noise that a prediction says are in ``x``."""
        signal, spread = math.sqrt(a), math.sqrt(1 - a)
        if self.prediction == "epsilon":
            clean = (x - spread * predicted) / signal
        else:
            clean = signal * x - spread * predicted
        if self.clip is not None:
            clean = clean.clamp(-self.clip, self.clip)
        return clean, (x - signal * clean) / spread

    @staticmethod
    def _step(clean: Tensor, seen: Tensor, a: float, a_then: float, eta: float, noise: SeededNoise) -> Tensor:
        if a_then == 1.0:
            return clean
        sigma = eta * math.sqrt((1 - a_then) / (1 - a) * (1 - a / a_then))
        x = math.sqrt(a_then) * clean + math.sqrt(max(0.0, 1 - a_then - sigma**2)) * seen
        return x + sigma * noise() if sigma > 0 else x


def alphas_cumulative(schedule: str, steps: int) -> Tensor:
    """Return the part of the variance that is image after 0, 1, ... steps (steps + 1,), float64; it falls from 1.

    Raises:
        ConfigError: There is no such schedule, or no step.

    Example:
        >>> table = alphas_cumulative("linear", 1000)
        >>> table.shape, round(float(table[1]), 6), round(float(table[-1]), 6)
        (torch.Size([1001]), 0.9999, 4e-05)
    """
    if steps < 2:
        raise ConfigError(f"noise in {steps} steps is no process", hint="1000 are usual")
    if schedule == "linear":
        # For other numbers of steps than a thousand, so that the noise at the end is the same.
        betas = torch.linspace(0.1 / steps, 20 / steps, steps, dtype=torch.float64).clamp(max=0.999)
    elif schedule == "cosine":
        share = torch.arange(steps + 1, dtype=torch.float64) / steps
        wanted = torch.cos((share + 0.008) / 1.008 * math.pi / 2).square()
        betas = (1 - wanted[1:] / wanted[:-1]).clamp(max=0.999)
    else:
        raise ConfigError(f"there is no schedule {schedule!r}", hint="cosine or linear")
    return torch.cat((torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)))
