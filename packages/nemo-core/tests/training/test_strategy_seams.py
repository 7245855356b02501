"""What a strategy of a plugin may do that Lightning's own do not."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from nemo_core.errors import ConfigError, TrainingError
from nemo_core.plugins import Registry
from nemo_core.training import train
from nemo_core.training.callbacks import NaNGuard


def test_a_strategy_refuses_before_anything_is_written(recipe: Any, tmp_path: Any) -> None:
    strategy = {"_target_": "tiny_training.Picky", "most_steps": 2}
    config = recipe(trainer={"strategy": strategy, "max_steps": 3})
    with pytest.raises(ConfigError, match="with 1 process: too many steps"):
        train(config)
    assert not (tmp_path / "runs").exists()


def test_a_strategy_is_closed_when_a_run_ends(recipe: Any) -> None:
    from tiny_training import Picky

    Picky.closed.clear()
    strategy = {"_target_": "tiny_training.Picky"}
    train(recipe(trainer={"strategy": strategy, "max_steps": 1}))
    assert Picky.closed == ["closed"]


def test_strategies_are_components() -> None:
    registry = Registry()
    registry.strategy("demo.Strategy", "demo:Strategy", summary="Divides everything")
    assert registry.find("demo.Strategy").kind == "strategy"


class _Optimizer(torch.optim.SGD):
    """Keeps its gradients elsewhere."""

    def __init__(self, finite: bool) -> None:
        super().__init__([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        self.finite, self.skipped = finite, 0

    def gradients_finite(self) -> bool:
        return self.finite

    def skip(self) -> None:
        self.skipped += 1


class _Trainer:
    precision_plugin = None
    global_step = current_epoch = 0
    fit_loop = type("loop", (), {"batch_idx": 0})


def test_an_optimizer_that_keeps_gradients_elsewhere_is_asked() -> None:
    model: Any = torch.nn.Linear(1, 1)
    model.weight.grad = torch.full((1, 1), math.nan)  # not what it uses
    guard, optimizer = NaNGuard("skip", max_skips=1), _Optimizer(finite=True)
    guard.on_before_optimizer_step(_Trainer(), model, optimizer)  # type: ignore[arg-type]
    assert optimizer.skipped == 0
    optimizer.finite = False
    guard.on_before_optimizer_step(_Trainer(), model, optimizer)  # type: ignore[arg-type]
    assert optimizer.skipped == 1
    with pytest.raises(TrainingError, match="2 steps in a row"):
        guard.on_before_optimizer_step(_Trainer(), model, optimizer)  # type: ignore[arg-type]
