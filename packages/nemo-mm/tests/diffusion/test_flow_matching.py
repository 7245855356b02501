from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.errors import ConfigError
from nemo_mm.diffusion import FlowMatching, SeededNoise
from nemo_mm.diffusion.process import expand

SAMPLERS = ["euler", "midpoint", "heun"]


def velocity_to_normal(mean: float, std: float):
    """The velocity that a perfect network would predict, where images are normal."""

    def predict(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        t = expand(time, x)
        variance = (1 - t) ** 2 * std**2 + t**2
        around = x - (1 - t) * mean
        return t / variance * around - (mean + (1 - t) * std**2 / variance * around)

    return predict


def error(sampler: str, steps: int, mean: float = 2.0, std: float = 0.5, **options) -> float:
    """The distance from where the differential equation leads: the line of quantiles."""
    seeds = range(64)
    start = SeededNoise(seeds, (1,))().double()
    flow = FlowMatching(**options)
    found = flow.sample(velocity_to_normal(mean, std), lambda: start, steps, sampler=sampler)
    return float((found - (mean + std * start)).abs().max())


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(deadline=None, max_examples=15)
@given(mean=st.floats(-3, 3), std=st.floats(0.2, 2))
def test_noise_becomes_the_normal_distribution_that_was_learned(sampler, mean, std):
    assert error(sampler, 400, mean, std) < 0.03 * (1 + abs(mean) + std)


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2)])
def test_more_steps_converge_at_the_order_of_the_sampler(sampler, order):
    errors = [error(sampler, steps) for steps in (20, 40, 80)]
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine > 0.85 * 2**order


def test_samplers_of_second_order_are_better_for_the_same_price():
    assert max(error("heun", 10), error("midpoint", 10)) < error("euler", 20)


@settings(deadline=None, max_examples=25)
@given(t=st.floats(0, 1), seed=st.integers(0, 99))
def test_the_target_is_the_slope_of_the_line(t, seed):
    flow = FlowMatching()
    clean, noise = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    time = torch.full((3,), t, dtype=torch.float64)
    step = 1e-3
    slope = (flow.noisy(clean, noise, time + step) - flow.noisy(clean, noise, time)) / step
    torch.testing.assert_close(slope, flow.target(clean, noise, time))
    torch.testing.assert_close(flow.noisy(clean, noise, torch.zeros(3)), clean)
    torch.testing.assert_close(flow.noisy(clean, noise, torch.ones(3)), noise)


def test_times_are_distributed_as_said():
    uniform = (torch.arange(10_000) + 0.5) / 10_000
    drawn = FlowMatching("logit_normal", mean=0.5, std=2.0).times(uniform)
    logits = torch.logit(drawn.double())
    assert logits.mean() == pytest.approx(0.5, abs=0.01)
    assert logits.std() == pytest.approx(2.0, abs=0.01)
    assert torch.equal(FlowMatching("uniform").times(uniform), uniform)
    assert bool((FlowMatching("uniform", shift=3.0).times(uniform) >= uniform).all())
    assert bool(FlowMatching().times(torch.tensor([0.0, 1.0])).isfinite().all())


def test_a_shift_leads_to_the_same_images():
    assert error("heun", 200, shift=3.0) < 0.01


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_evaluations_are_those_that_are_counted(sampler):
    asked = 0

    def predict(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        nonlocal asked
        asked += 1
        assert bool((time > 0).all())
        return torch.zeros_like(x)

    steps = []
    flow = FlowMatching()
    flow.sample(predict, SeededNoise([0], (1,)), 7, sampler=sampler, after_step=lambda: steps.append(1))
    assert asked == flow.evaluations(7, sampler)
    assert len(steps) == 7


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FlowMatching("normal"), "times 'normal' is not known"),
        (lambda: FlowMatching(std=0), "have to be positive"),
        (lambda: FlowMatching(sampler="rk45"), "no sampler 'rk45'"),
        (lambda: FlowMatching().sample(lambda x, t: x, SeededNoise([0], (1,)), 0), "at least one step, not 0"),
    ],
)
def test_what_is_wrong_is_said(make, said):
    with pytest.raises(ConfigError, match=said):
        make()
