from __future__ import annotations

import pytest
import torch

from nemo_core.errors import TrainingError
from nemo_core.models import TrainedInTurn


class Duel(TrainedInTurn):
    turns = {"forger": ("forger",), "expert": ("expert", "critic")}

    def __init__(self) -> None:
        super().__init__()
        self.forger, self.expert, self.critic = torch.nn.Linear(1, 2), torch.nn.Linear(2, 1), None


def test_only_one_side_gets_gradients_and_frozen_weights_stay_frozen() -> None:
    duel = Duel()
    duel.expert.bias.requires_grad_(False)
    with duel.only("forger"):
        duel.expert(duel.forger(torch.ones(1, 1))).sum().backward()
    assert duel.forger.weight.grad is not None
    assert duel.expert.weight.grad is None
    assert duel.expert.weight.requires_grad
    assert not duel.expert.bias.requires_grad


def test_each_turn_has_an_optimizer_of_its_own_weights() -> None:
    duel = Duel()
    duel.optimizer_factory = lambda model: torch.optim.SGD(
        [weight for weight in model.parameters() if weight.requires_grad], lr=1.0
    )
    first, second = duel.configure_optimizers()
    assert {id(each) for each in first.param_groups[0]["params"]} == {id(each) for each in duel.forger.parameters()}
    assert {id(each) for each in second.param_groups[0]["params"]} == {id(each) for each in duel.expert.parameters()}


def test_a_turn_without_weights_is_refused() -> None:
    duel = Duel()
    duel.expert = None
    duel.optimizer_factory = lambda model: None
    with pytest.raises(TrainingError, match="'expert'"):
        duel.configure_optimizers()
