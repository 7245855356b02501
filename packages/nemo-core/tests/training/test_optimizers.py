"""Optimisers: ours against their papers' equations in plain arithmetic, and all of them on a problem."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from nemo_core.errors import ComponentNotFoundError, ConfigError
from nemo_core.plugins import registry
from nemo_core.training.optimization import build_optimizer, parameter_groups

MEGATRON = {"distributed_fused_adam", "mcore_distributed_optim"}
NAMES = [each.name for each in registry().components("optimizer") if each.distribution == "nemo-core"]
RATES = {"adadelta": 5.0, "lamb": 0.05, "muon": 0.05, "sgd": 0.05, "adafactor": 0.1, "adagrad": 0.3}


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.LayerNorm(8), torch.nn.Tanh(), torch.nn.Linear(8, 2))


def fit(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int, start: int = 0) -> float:
    inputs = torch.randn(32, 6, generator=torch.Generator().manual_seed(1))
    targets = torch.stack([inputs[:, 0] * inputs[:, 1], inputs[:, 2]], dim=1)
    for step in range(start, start + steps):
        rows = slice(8 * (step % 4), 8 * (step % 4) + 8)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs[rows]), targets[rows]).backward()
        optimizer.step()
    return torch.nn.functional.mse_loss(model(inputs), targets).item()


def test_all_names():
    expected = "sgd adam adamw adadelta adamax adagrad rmsprop rprop adafactor muon novograd lamb adan fused_adam"
    expected += " megatron_fused_adam distributed_fused_adam mcore_distributed_optim"
    assert set(NAMES) == set(expected.split())


@pytest.mark.parametrize("name", sorted(set(NAMES) - MEGATRON))
def test_it_learns_and_resumes_exactly(name):
    settings = {"name": name, "lr": RATES.get(name, 0.01)}
    model = network()
    before = fit(model, torch.optim.SGD(model.parameters(), lr=0.0), 1)
    optimizer = build_optimizer(model, settings)
    fit(model, optimizer, 10)
    copied = copy.deepcopy(model)
    resumed = build_optimizer(copied, settings)
    # Through a file's worth of conversions: what a checkpoint does.
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert fit(model, optimizer, 50, start=10) < 0.7 * before
    fit(copied, resumed, 50, start=10)
    for one, other in zip(model.parameters(), copied.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", sorted(MEGATRON))
def test_those_of_megatron_say_where_they_are(name):
    with pytest.raises(ConfigError, match="Megatron-core") as caught:
        build_optimizer(network(), {"name": name, "lr": 0.1})
    assert "nemo-llm" in (caught.value.hint or "")


def weights(optimizer_name: str, gradients: list[list[float]], start: list[float], **arguments) -> list[float]:
    weight = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    holder = torch.nn.Module()
    holder.weight = weight
    optimizer = build_optimizer(holder, {"name": optimizer_name, **arguments})
    for gradient in gradients:
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    return weight.tolist()


GRADIENTS = [[3.0, -4.0], [1.0, 2.0], [-0.5, 0.25]]


def test_novograd_is_its_paper():
    lr, b1, b2, eps, decay = 0.1, 0.9, 0.5, 1e-8, 0.01
    w, m, v = [1.0, -2.0], [0.0, 0.0], None
    for g in GRADIENTS:
        square = g[0] ** 2 + g[1] ** 2
        v = square if v is None else b2 * v + (1 - b2) * square
        for i in range(2):
            m[i] = b1 * m[i] + (g[i] / (math.sqrt(v) + eps) + decay * w[i])
        w = [w[i] - lr * m[i] for i in range(2)]
    found = weights("novograd", GRADIENTS, [1.0, -2.0], lr=lr, betas=(b1, b2), eps=eps, weight_decay=decay)
    assert found == pytest.approx(w, rel=1e-12)


def test_lamb_is_its_paper():
    lr, b1, b2, eps, decay = 0.1, 0.9, 0.99, 1e-6, 0.05
    w, m, v = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    for t, g in enumerate(GRADIENTS, start=1):
        r = []
        for i in range(2):
            m[i] = b1 * m[i] + (1 - b1) * g[i]
            v[i] = b2 * v[i] + (1 - b2) * g[i] ** 2
            r.append(m[i] / (1 - b1**t) / (math.sqrt(v[i] / (1 - b2**t)) + eps) + decay * w[i])
        scale = math.hypot(*w) / math.hypot(*r)
        w = [w[i] - lr * scale * r[i] for i in range(2)]
    found = weights("lamb", GRADIENTS, [1.0, -2.0], lr=lr, betas=(b1, b2), eps=eps, weight_decay=decay)
    assert found == pytest.approx(w, rel=1e-12)


@pytest.mark.parametrize("no_prox", [False, True])
def test_adan_is_its_paper(no_prox):
    lr, b1, b2, b3, eps, decay = 0.1, 0.98, 0.92, 0.99, 1e-8, 0.02
    w, m, d, n, last = [1.0, -2.0], [0.0] * 2, [0.0] * 2, [0.0] * 2, GRADIENTS[0]
    for t, g in enumerate(GRADIENTS, start=1):
        for i in range(2):
            change = g[i] - last[i]
            m[i] = b1 * m[i] + (1 - b1) * g[i]
            d[i] = b2 * d[i] + (1 - b2) * change
            n[i] = b3 * n[i] + (1 - b3) * (g[i] + b2 * change) ** 2
            update = m[i] / (1 - b1**t) + b2 * d[i] / (1 - b2**t)
            step = lr * update / (math.sqrt(n[i] / (1 - b3**t)) + eps)
            w[i] = w[i] * (1 - lr * decay) - step if no_prox else (w[i] - step) / (1 + lr * decay)
        last = g
    arguments = {"lr": lr, "betas": (b1, b2, b3), "eps": eps, "weight_decay": decay, "no_prox": no_prox}
    assert weights("adan", GRADIENTS, [1.0, -2.0], **arguments) == pytest.approx(w, rel=1e-12)


def test_muon_is_torchs_on_matrices_and_adamw_on_the_rest():
    ours, theirs = network(), network()
    fit(ours, build_optimizer(ours, {"name": "muon", "lr": 0.02, "adamw_lr": 0.003, "weight_decay": 0.1}), 5)
    matrices = [p for p in theirs.parameters() if p.ndim == 2]
    rest = [p for p in theirs.parameters() if p.ndim != 2]
    muon = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1)
    adamw = torch.optim.AdamW(rest, lr=0.003, betas=(0.9, 0.95), weight_decay=0.1)

    class Both:
        def zero_grad(self):
            muon.zero_grad(), adamw.zero_grad()

        def step(self):
            muon.step(), adamw.step()

    fit(theirs, Both(), 5)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_muon_can_be_told_to_leave_a_matrix_alone():
    groups = {"3": {"muon": False}}
    optimizer = build_optimizer(network(), {"name": "muon", "lr": 0.02, "param_groups": groups})
    assert [(group["muon"], len(group["params"])) for group in optimizer.param_groups] == [
        (True, 1),
        (False, 3),
        (False, 2),
    ]


def test_groups_of_submodules_and_no_decay_on_vectors():
    model = network()
    groups = parameter_groups(model, {"0": {"lr": 0.5}, "3.bias": {"lr": 0.25}}, decay_bias_and_norm=False)
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    for group in groups:
        for parameter in group["params"]:
            assert (group.get("weight_decay") == 0.0) is (parameter.ndim < 2)
    rates = {id(p): group.get("lr") for group in groups for p in group["params"]}
    assert rates[id(model[0].weight)] == rates[id(model[0].bias)] == 0.5
    assert rates[id(model[3].bias)] == 0.25
    assert rates[id(model[3].weight)] is None


def test_frozen_parameters_are_left_out():
    model = network()
    model[0].requires_grad_(False)
    optimizer = build_optimizer(model, {"name": "sgd", "lr": 0.1})
    assert len(optimizer.param_groups[0]["params"]) == 4
    model.requires_grad_(False)
    with pytest.raises(ConfigError, match="no trainable parameters"):
        build_optimizer(model, {"name": "sgd", "lr": 0.1})


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"name": "adamv", "lr": 0.1}, ComponentNotFoundError, "adamv"),
        ({"name": "adamw", "lr": 0.1, "beta": 3}, ConfigError, "beta"),
        ({"name": "adamw", "lr": -1.0}, ConfigError, "learning rate"),
        ({"name": "novograd", "lr": 0.1, "betas": (0.9, 1.5)}, ConfigError, "betas"),
        ({"name": "sgd", "lr": 0.1, "param_groups": {"encoder": {"lr": 1.0}}}, ConfigError, "encoder"),
    ],
)
def test_bad_settings(settings, error, says):
    with pytest.raises(error, match=says):
        build_optimizer(network(), settings)
