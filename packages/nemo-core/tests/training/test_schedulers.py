"""Schedules against tables that were computed from the formulas with 50 digits, not with the code."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nemo_core.errors import ConfigError
from nemo_core.plugins import registry
from nemo_core.training.optimization import build_scheduler

# Base rate 0.1, min_lr 0.001, warm-up 4, hold 5, 20 steps in all; the arguments after the name are further ones.
STEPS = [0, 1, 4, 5, 8, 9, 10, 15, 20, 21]
_LINES = """
WarmupPolicy
    0.02 0.04 0.1 0.1 0.1 0.1 0.1 0.1 0.1 0.001
WarmupHoldPolicy
    0.02 0.04 0.1 0.1 0.1 0.1 0.1 0.1 0.1 0.001
SquareAnnealing
    0.02 0.04 0.1 0.087890625 0.05625 0.047265625 0.0390625 0.009765625 0.001 0.001
SquareRootAnnealing
    0.02 0.04 0.1 0.086602540 0.077459667 0.074161985 0.070710678 0.05 0.001 0.001
CosineAnnealing
    0.02 0.04 0.1 0.099048871 0.085501786 0.078000727 0.069442830 0.022999273 0.0010000000 0.001
CosineAnnealing constant
    0.0 0.025 0.1 0.097577298 0.065796341 0.050500000 0.035203659 0.001 0.001 0.001
WarmupAnnealing
    0.02 0.04 0.1 0.0938125 0.07525 0.0690625 0.062875 0.0319375 0.001 0.001
InverseSquareRootAnnealing
    0.02 0.04 0.1 0.091287093 0.074535599 0.070710678 0.067419986 0.055901699 0.048795004 0.001
T5InverseSquareRootAnnealing
    0.035355339 0.035355339 0.035355339 0.035355339 0.035355339 0.033333333 0.031622777 0.025819889 0.022360680 0.001
NoamAnnealing
    .0015625 .0015625 .00625 .0055901699 .0044194174 .0041666667 0.0039528471 0.0032274861 0.002795085 0.0027277236
NoamHoldAnnealing
    0.02 0.04 0.1 0.1 0.1 0.1 0.089442719 0.063245553 0.051639778 0.001
NoamHoldAnnealing decay 1
    0.02 0.04 0.1 0.1 0.1 0.1 0.08 0.04 0.026666667 0.001
WarmupHoldAnnealLinear
    0.02 0.04 0.1 0.1 0.1 0.100 0.091000000 0.046000000 0.001 0.001
WarmupHoldAnnealOneMinusSquareRoot
    0.02 0.04 0.1 0.1 0.1 0.100 0.070150377 0.026883654 0.001 0.001
PolynomialDecayAnnealing power 2
    0.02 0.04 0.1 0.088011719 0.0566875 0.047792969 0.039671875 0.010667969 0.001 0.001
PolynomialHoldDecayAnnealing power 3
    0.02 0.04 0.1 0.1 0.1 0.100 0.075380165 0.010297521 0.001 0.001
""".strip().splitlines()
TABLES = {name: [float(rate) for rate in rates.split()] for name, rates in zip(_LINES[::2], _LINES[1::2], strict=True)}
ARGUMENTS = {
    "CosineAnnealing constant": {"constant_steps": 6},
    "T5InverseSquareRootAnnealing": {"constant_steps": 8, "warmup_steps": None},
    "NoamAnnealing": {"d_model": 64},
    "NoamHoldAnnealing": {"hold_steps": 5},
    "NoamHoldAnnealing decay 1": {"hold_steps": 5, "decay_rate": 1.0},
    "WarmupHoldPolicy": {"hold_steps": 5},
    "WarmupHoldAnnealLinear": {"hold_steps": 5},
    "WarmupHoldAnnealOneMinusSquareRoot": {"hold_steps": 5},
    "PolynomialDecayAnnealing power 2": {"power": 2.0},
    "PolynomialHoldDecayAnnealing power 3": {"hold_steps": 5, "power": 3.0},
}
OURS = [each.name for each in registry().components("scheduler") if "nemo_core.training" in each.target]


def optimizer(*rates: float) -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates or (0.1,)]
    return torch.optim.SGD(groups, lr=0.1)


def build(name: str, on: torch.optim.Optimizer, max_steps: int | None = 20, **arguments):
    settings = {"name": name, "min_lr": 0.001, "warmup_steps": 4, **arguments}
    settings = {key: value for key, value in settings.items() if value is not None}
    return build_scheduler(on, settings, max_steps=max_steps)["scheduler"]


def rates(scheduler, on: torch.optim.Optimizer, steps: int) -> list[float]:
    seen = []
    for _ in range(steps):
        seen.append(on.param_groups[0]["lr"])
        on.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("case", TABLES)
def test_table(case):
    on = optimizer()
    seen = rates(build(case.split()[0], on, **ARGUMENTS.get(case, {})), on, 22)
    assert [seen[step] for step in STEPS] == pytest.approx(TABLES[case], rel=1e-7, abs=1e-12)


def test_every_schedule_of_ours_has_a_table():
    assert {case.split()[0] for case in TABLES} == set(OURS)


@pytest.mark.parametrize("name", ["StepLR", "ExponentialLR", "ReduceLROnPlateau", "CyclicLR"])
def test_those_of_torch_are_torchs(name):
    component = registry().get("scheduler", name)
    assert component.load() is getattr(torch.optim.lr_scheduler, name)


@pytest.mark.parametrize(
    ("name", "interval"),
    [("StepLR", "step"), ("ExponentialLR", "epoch"), ("ReduceLROnPlateau", "epoch"), ("CosineAnnealing", "step")],
)
def test_interval(name, interval):
    arguments = {"StepLR": {"step_size": 2}, "ExponentialLR": {"gamma": 0.5}}.get(name, {})
    built = build_scheduler(optimizer(), {"name": name, **arguments}, max_steps=10, monitor="val_wer")
    assert built["interval"] == interval
    assert built["reduce_on_plateau"] is (name == "ReduceLROnPlateau")
    assert built["monitor"] == "val_wer"
    assert (
        build_scheduler(optimizer(), {"name": name, **arguments, "interval": "epoch"}, max_steps=10)["interval"]
        == "epoch"
    )


@pytest.mark.parametrize("case", TABLES)
@pytest.mark.parametrize("stop", [1, 4, 11])
def test_resume(case, stop):
    name, arguments = case.split()[0], ARGUMENTS.get(case, {})
    whole = optimizer()
    expected = rates(build(name, whole, **arguments), whole, 20)
    first = optimizer()
    schedule = build(name, first, **arguments)
    rates(schedule, first, stop)
    second = optimizer()
    resumed = build(name, second, **arguments)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert rates(resumed, second, 20 - stop) == expected[stop:]


def test_each_group_keeps_its_own_base_rate():
    on = optimizer(0.1, 0.4)
    schedule = build("CosineAnnealing", on, min_lr=0.0)
    for _ in range(12):
        on.step()
        schedule.step()
    one, other = (group["lr"] for group in on.param_groups)
    assert other == pytest.approx(4 * one)


def test_ratios_are_parts_of_max_steps():
    by_ratio, by_steps = optimizer(), optimizer()
    one = build("WarmupHoldAnnealLinear", by_ratio, warmup_steps=None, warmup_ratio=0.2, hold_ratio=0.25)
    other = build("WarmupHoldAnnealLinear", by_steps, warmup_steps=4, hold_steps=5)
    assert rates(one, by_ratio, 22) == rates(other, by_steps, 22)


def test_polynomial_cycle_begins_anew():
    on = optimizer()
    seen = rates(build("PolynomialDecayAnnealing", on, warmup_steps=None, min_lr=0.0, cycle=True, max_steps=40), on, 12)
    assert seen[10] == pytest.approx(0.1 * (1 - 10 / 40))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "CosineAnnealing", "warmup_steps": 2, "warmup_ratio": 0.1}, "both warmup_steps and warmup_ratio"),
        ({"name": "CosineAnnealing", "warmup_steps": -1}, "warmup_steps is -1"),
        ({"name": "NoamHoldAnnealing"}, "needs a warm-up"),
        ({"name": "CosineAnnealing", "warmup_step": 3}, "warmup_step"),
        ({"name": "NoamAnnealing"}, "d_model"),
    ],
)
def test_bad_arguments(arguments, says):
    with pytest.raises(ConfigError, match=says):
        build_scheduler(optimizer(), arguments, max_steps=10)


@pytest.mark.parametrize("name", ["CosineAnnealing", "WarmupAnnealing"])
def test_without_an_end_there_is_no_schedule_to_it(name):
    with pytest.raises(ConfigError, match="needs max_steps"):
        build_scheduler(optimizer(), {"name": name}, max_steps=None)


@given(st.sampled_from(OURS), st.integers(0, 10), st.integers(1, 50), st.floats(1e-6, 1.0))
def test_rates_stay_between_nothing_and_the_base_rate(name, warmup, total, base):
    arguments = {"NoamAnnealing": {"d_model": 16}, "NoamHoldAnnealing": {"warmup_steps": max(1, warmup)}}.get(name, {})
    given_steps = {} if name.startswith("T5") else {"warmup_steps": warmup}
    on = optimizer(base)
    schedule = build_scheduler(on, {"name": name, "min_lr": 0.0, **given_steps, **arguments}, max_steps=total)[
        "scheduler"
    ]
    for step in range(total + 5):
        assert -1e-12 <= schedule.rate_at(step, base) <= base * (1 + 1e-12)
