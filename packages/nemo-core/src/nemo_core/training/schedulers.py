"""Learning rates over time. Each is a formula of the step alone, so a resumed run needs nothing but its step.

Steps are optimiser steps, counted from 0. Nearly all share three stages: a linear *warm-up*, ``(step + 1) / (W + 1)``
of the base rate for the steps 0..W; what the class itself says; and ``min_lr`` after ``max_steps``. The names and
formulas are those of NVIDIA NeMo, so that its recipes train as they did.

A schedule is a dataclass: its fields are the arguments it takes, those of its base and its own.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nemo_core.errors import ConfigError

__all__ = [
    "CosineAnnealing",
    "HoldSchedule",
    "InverseSquareRootAnnealing",
    "NoamAnnealing",
    "NoamHoldAnnealing",
    "PolynomialDecayAnnealing",
    "PolynomialHoldDecayAnnealing",
    "Schedule",
    "SquareAnnealing",
    "SquareRootAnnealing",
    "T5InverseSquareRootAnnealing",
    "WarmupAnnealing",
    "WarmupHoldAnnealLinear",
    "WarmupHoldAnnealOneMinusSquareRoot",
    "WarmupHoldPolicy",
    "WarmupPolicy",
    "WarmupSchedule",
]


@dataclass(eq=False, repr=False)
class Schedule(LRScheduler):
    """Base of the schedules: :meth:`rate`, then ``min_lr``.

    Args:
        optimizer: Whose rates are set; each parameter group keeps its own base rate.
        max_steps: Length of the training; without it the schedule never ends.
        min_lr: Rate after ``max_steps``, and the least one of most schedules.
        last_epoch: Step to go on from; -1 to begin.
    """

    needs_max_steps: ClassVar[bool] = True

    optimizer: Optimizer
    _: KW_ONLY
    max_steps: int | None = None
    min_lr: float = 0.0
    last_epoch: int = -1

    def __post_init__(self) -> None:
        if self.needs_max_steps and self.max_steps is None:
            raise ConfigError(
                f"{type(self).__name__} needs max_steps", hint="give it, or trainer.max_epochs or max_steps"
            )
        super().__init__(self.optimizer, self.last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of each parameter group at the present step."""
        return [self.rate_at(self.last_epoch, float(base)) for base in self.base_lrs]

    def rate_at(self, step: int, base: float) -> float:
        """Return the rate at ``step`` of a group whose base rate is ``base``."""
        over = self.max_steps is not None and step > self.max_steps
        return self.min_lr if over else self.rate(step, base)

    def rate(self, step: int, base: float) -> float:
        """Return the rate until ``max_steps``: by default the base rate."""
        return base

    def _length(self, stage: str, steps: int | None, ratio: float | None) -> int:
        """Return the length of a stage in steps, given in steps or as a part of all."""
        if steps is not None and ratio is not None:
            raise ConfigError(
                f"{type(self).__name__}: both {stage}_steps and {stage}_ratio are given", hint="leave one out"
            )
        if ratio is not None:
            if self.max_steps is None:
                raise ConfigError(f"{type(self).__name__}: {stage}_ratio needs max_steps")
            steps = int(ratio * self.max_steps)
        if (steps or 0) < 0:
            raise ConfigError(f"{type(self).__name__}: {stage}_steps is {steps}", hint="give a number >= 0")
        return steps or 0

    def _progress(self, step: int, begin: int) -> float:
        """Return how much of the time from ``begin`` to ``max_steps`` has passed, 0..1."""
        assert self.max_steps is not None
        return (step - begin) / max(1, self.max_steps - begin)


@dataclass(eq=False, repr=False, kw_only=True)
class WarmupSchedule(Schedule):
    """Base of the schedules that warm up: :meth:`warmup`, then :meth:`rate`, then ``min_lr``.

    Args:
        warmup_steps: W, length of the warm-up.
        warmup_ratio: The same as a part of ``max_steps``.
    """

    warmup_steps: int | None = None
    warmup_ratio: float | None = None

    def __post_init__(self) -> None:
        self.warmup_end = self._length("warmup", self.warmup_steps, self.warmup_ratio)
        super().__post_init__()

    def rate_at(self, step: int, base: float) -> float:
        """Return the rate at ``step`` of a group whose base rate is ``base``."""
        warming = self.warmup_end > 0 and step <= self.warmup_end
        return self.warmup(step, base) if warming else super().rate_at(step, base)

    def warmup(self, step: int, base: float) -> float:
        """Return the rate during the warm-up."""
        return base * (step + 1) / (self.warmup_end + 1)


@dataclass(eq=False, repr=False, kw_only=True)
class HoldSchedule(WarmupSchedule):
    """Base of the schedules that keep the base rate for a while after the warm-up, then :meth:`decay`.

    Args:
        hold_steps: For how many steps after the warm-up the base rate is held.
        hold_ratio: The same as a part of ``max_steps``.
    """

    hold_steps: int | None = None
    hold_ratio: float | None = None

    def __post_init__(self) -> None:
        self.hold_length = self._length("hold", self.hold_steps, self.hold_ratio)
        super().__post_init__()

    @property
    def hold_end(self) -> int:
        """First step after the hold."""
        return self.warmup_end + self.hold_length

    def rate(self, step: int, base: float) -> float:
        """Return the base rate while it is held, and :meth:`decay` after that."""
        return base if step < self.hold_end else self.decay(step, base)

    def decay(self, step: int, base: float) -> float:
        """Return the rate after the hold: by default the base rate."""
        return base


class WarmupPolicy(WarmupSchedule):
    """Warm-up, then the base rate.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    >>> schedule = WarmupPolicy(optimizer, warmup_steps=3)
    >>> [schedule.rate_at(step, 1.0) for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    needs_max_steps = False


class WarmupHoldPolicy(HoldSchedule):
    """Warm-up, then the base rate until ``max_steps``, then ``min_lr``."""


@dataclass(eq=False, repr=False, kw_only=True)
class CosineAnnealing(WarmupSchedule):
    """Half a cosine from the base rate to ``min_lr`` (SGDR, arXiv:1608.03983, without restarts).

    With ``constant_steps`` (or ``constant_ratio``) the cosine ends that much earlier and ``min_lr`` is held, and the
    warm-up is ``step / W``, as in Megatron-LM.
    """

    constant_steps: int | None = None
    constant_ratio: float | None = None

    def __post_init__(self) -> None:
        self.constant_length = self._length("constant", self.constant_steps, self.constant_ratio)
        super().__post_init__()

    def warmup(self, step: int, base: float) -> float:
        """Return the rate during the warm-up."""
        return base * step / self.warmup_end if self.constant_length else super().warmup(step, base)

    def rate(self, step: int, base: float) -> float:
        """Return the rate after the warm-up."""
        assert self.max_steps is not None
        decay = max(1, self.max_steps - self.warmup_end - self.constant_length)
        done = min(1.0, (step - self.warmup_end) / decay)
        return self.min_lr + (base - self.min_lr) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(eq=False, repr=False, kw_only=True)
class SquareAnnealing(WarmupSchedule):
    """``base * (1 - p)^2``, where p is the part of the time after the warm-up that has passed."""

    min_lr: float = 1e-5

    def rate(self, step: int, base: float) -> float:
        """Return the rate after the warm-up."""
        return max(self.min_lr, base * math.pow(1 - self._progress(step, self.warmup_end), 2))


class SquareRootAnnealing(WarmupSchedule):
    """``base * sqrt(1 - step / max_steps)``; the steps of the warm-up count."""

    def rate(self, step: int, base: float) -> float:
        """Return the rate after the warm-up."""
        return max(self.min_lr, base * math.sqrt(1 - self._progress(step, 0)))


class WarmupAnnealing(WarmupSchedule):
    """A straight line from the base rate to ``min_lr``."""

    def rate(self, step: int, base: float) -> float:
        """Return the rate after the warm-up."""
        return self.min_lr + (base - self.min_lr) * (1 - self._progress(step, self.warmup_end))


class WarmupHoldAnnealLinear(HoldSchedule):
    """Warm-up, hold, then a straight line to ``min_lr``."""

    def decay(self, step: int, base: float) -> float:
        """Return the rate after the hold."""
        return self.min_lr + (base - self.min_lr) * (1 - self._progress(step, self.hold_end))


class WarmupHoldAnnealOneMinusSquareRoot(HoldSchedule):
    """Warm-up, hold, then down to ``min_lr`` by ``1 - sqrt(p)`` (arXiv:2405.18392, there called 1-sqrt)."""

    def decay(self, step: int, base: float) -> float:
        """Return the rate after the hold."""
        return self.min_lr + (base - self.min_lr) * (1 - math.sqrt(self._progress(step, self.hold_end)))


class InverseSquareRootAnnealing(WarmupSchedule):
    """``base * sqrt((W + 1) / (step + 1))``."""

    needs_max_steps = False

    def rate(self, step: int, base: float) -> float:
        """Return the rate after the warm-up."""
        return base * math.sqrt((self.warmup_end + 1) / (step + 1))


@dataclass(eq=False, repr=False, kw_only=True)
class T5InverseSquareRootAnnealing(Schedule):
    """``base / sqrt(max(step, constant_steps))`` (T5, arXiv:1910.10683; there the base rate is 1)."""

    needs_max_steps = False

    constant_steps: int | None = None
    constant_ratio: float | None = None

    def __post_init__(self) -> None:
        self.constant_length = self._length("constant", self.constant_steps, self.constant_ratio)
        super().__post_init__()

    def rate(self, step: int, base: float) -> float:
        """Return the rate."""
        return base / math.sqrt(max(step, self.constant_length, 1))


@dataclass(eq=False, repr=False, kw_only=True)
class NoamAnnealing(WarmupSchedule):
    """``base * d_model^-0.5 * min(s^-0.5, s * W^-1.5)``, s = max(1, step) (arXiv:1706.03762).

    ``min_lr`` is a floor after the warm-up only, and ``max_steps`` ends nothing: it serves ``warmup_ratio``.
    """

    needs_max_steps = False

    d_model: int

    def rate_at(self, step: int, base: float) -> float:
        """Return the rate at ``step`` of a group whose base rate is ``base``."""
        step = max(1, step)
        scale = 1 / math.sqrt(step)
        if self.warmup_end:
            scale = min(scale, step / math.pow(self.warmup_end, 1.5))
        rate = base / math.sqrt(self.d_model) * scale
        return max(rate, self.min_lr) if step > self.warmup_end else rate


@dataclass(eq=False, repr=False, kw_only=True)
class NoamHoldAnnealing(HoldSchedule):
    """Warm-up, hold, then ``base * W^r / (step - hold_steps)^r`` (Squeezeformer, arXiv:2206.00888).

    ``decay_rate`` r is 0.5 for Noam's decay; Squeezeformer uses 1.
    """

    decay_rate: float = 0.5

    def __post_init__(self) -> None:
        if not (self.warmup_steps or self.warmup_ratio):
            raise ConfigError("NoamHoldAnnealing needs a warm-up", hint="give warmup_steps or warmup_ratio")
        super().__post_init__()

    def decay(self, step: int, base: float) -> float:
        """Return the rate after the hold."""
        scale = max(1.0, math.pow(self.warmup_end, self.decay_rate))
        scale /= max(1.0, math.pow(step - self.hold_length, self.decay_rate))
        return max(self.min_lr, base * scale)


@dataclass(eq=False, repr=False, kw_only=True)
class PolynomialDecayAnnealing(WarmupSchedule):
    """``(base - min_lr) * (1 - p)^power + min_lr``.

    ``cycle`` lets the decay begin anew, from a lower rate, whenever it has ended.
    """

    power: float = 1.0
    cycle: bool = False

    def rate(self, step: int, base: float) -> float:
        """Return the rate after the warm-up."""
        assert self.max_steps is not None
        left = _polynomial(step - self.warmup_end, self.max_steps - self.warmup_end, self.power, self.cycle)
        return (base - self.min_lr) * left + self.min_lr


@dataclass(eq=False, repr=False, kw_only=True)
class PolynomialHoldDecayAnnealing(HoldSchedule):
    """Warm-up, hold, then :class:`PolynomialDecayAnnealing` in the time that is left."""

    power: float = 1.0
    cycle: bool = False

    def decay(self, step: int, base: float) -> float:
        """Return the rate after the hold."""
        assert self.max_steps is not None
        left = _polynomial(step - self.hold_end, self.max_steps - self.hold_end, self.power, self.cycle)
        return (base - self.min_lr) * left + self.min_lr


def _polynomial(done: int, total: int, power: float, cycle: bool) -> float:
    """Return what remains, 1..0, after ``done`` of ``total`` steps; with ``cycle`` the total grows in multiples."""
    total = max(1, total)
    if cycle:
        total *= max(1, math.ceil(done / total))
    return math.pow(1 - min(done, total) / total, power)
