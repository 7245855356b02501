"""Contrastive losses: what they are, in pieces and over processes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nemo_core.errors import ConfigError, DataError
from nemo_mm.losses import SigmoidLoss, SoftmaxLoss

LOSSES = {"softmax": SoftmaxLoss, "sigmoid": SigmoidLoss}


def pairs(count: int, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return tuple(F.normalize(torch.randn(count, size, generator=draw, dtype=torch.float32), dim=1) for _ in range(2))


def with_gradients(loss, first, second, labels=None) -> dict[str, torch.Tensor]:
    first, second = first.clone().requires_grad_(), second.clone().requires_grad_()
    loss.zero_grad()
    value = loss(first=first, second=second, labels=labels)
    value.backward()
    found = {"value": value.detach(), "first": first.grad, "second": second.grad}
    return found | {name: weight.grad.clone() for name, weight in loss.named_parameters()}


def plain_softmax(first, second, log_scale) -> torch.Tensor:
    logits = first @ second.T * log_scale.exp()
    wanted = torch.arange(len(first))
    return (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)) / 2


def plain_sigmoid(first, second, log_scale, bias) -> torch.Tensor:
    logits = first @ second.T * log_scale.exp() + bias
    sign = 2 * torch.eye(len(first)) - 1
    return -F.logsigmoid(sign * logits).sum() / len(first)


def close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=2e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


@given(count=st.integers(1, 13), size=st.integers(1, 9), seed=st.integers(0, 99), name=st.sampled_from(sorted(LOSSES)))
@settings(max_examples=30, deadline=None)
def test_value_and_gradients_are_those_of_the_formula(count, size, seed, name):
    first, second = pairs(count, size, seed)
    loss = LOSSES[name]()
    found = with_gradients(loss, first, second)
    first, second = first.requires_grad_(), second.requires_grad_()
    scale = loss.log_scale.detach().clone().requires_grad_()
    expected = {}
    if name == "softmax":
        value = plain_softmax(first, second, scale)
    else:
        bias = loss.bias.detach().clone().requires_grad_()
        value = plain_sigmoid(first, second, scale, bias)
    value.backward()
    if name == "sigmoid":
        expected["bias"] = bias.grad
    expected |= {"value": value.detach(), "first": first.grad, "second": second.grad, "log_scale": scale.grad}
    close(found, expected)


@given(
    count=st.integers(1, 17),
    chunk=st.integers(1, 20),
    seed=st.integers(0, 99),
    name=st.sampled_from(sorted(LOSSES)),
    classes=st.integers(0, 4),
)
@settings(max_examples=30, deadline=None)
def test_pieces_make_the_whole(count, chunk, seed, name, classes):
    first, second = pairs(count, 6, seed)
    labels = torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed)) if classes else None
    whole = with_gradients(LOSSES[name](), first, second, labels)
    close(with_gradients(LOSSES[name](chunk_size=chunk), first, second, labels), whole)


def test_what_carries_one_label_belongs_together():
    """With labels, cross-entropy against equal parts for all of a label."""
    first, second = pairs(8, 5, 0)
    labels = torch.tensor([0, 1, 1, 2, 0, 0, 3, 1])
    loss = SoftmaxLoss()
    same = (labels[:, None] == labels).float()
    wanted = same / same.sum(1, keepdim=True)
    logits = first @ second.T * loss.scale
    expected = (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)) / 2
    torch.testing.assert_close(loss(first=first, second=second, labels=labels), expected)


def test_the_scale_comes_back_from_its_limit():
    """A scale that has grown past its limit is put back to it, and can shrink again."""
    first, second = pairs(6, 4, 1)
    loss = SoftmaxLoss(max_scale=20.0)
    loss.log_scale.data.fill_(5.0)
    loss(first=first, second=second).backward()
    assert float(loss.scale.detach()) == pytest.approx(20.0)
    assert float(loss.log_scale.grad) != 0.0


def test_low_precision_is_compared_in_full():
    first, second = pairs(8, 16, 3)
    expected = SoftmaxLoss()(first=first.bfloat16().float(), second=second.bfloat16().float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = SoftmaxLoss()(first=first.bfloat16(), second=second.bfloat16())
    torch.testing.assert_close(found, expected)


def test_bad_settings_and_bad_pairs():
    with pytest.raises(ConfigError):
        SoftmaxLoss(temperature=0)
    with pytest.raises(ConfigError):
        SigmoidLoss(chunk_size=0)
    with pytest.raises(DataError, match="3 of one kind and 2"):
        SoftmaxLoss()(first=torch.ones(3, 2), second=torch.ones(2, 2))


# ---------------------------------------------------------------------------------------------------- several processes


def _on_a_rank(name: str, chunk: int | None, labelled: bool, count: int, seed: int):
    """Loss and gradients of a small model as data-parallel training forms them: the mean over processes."""
    import torch
    from torch import distributed

    rank, world = distributed.get_rank(), distributed.get_world_size()
    loss, layers, data = _model(name, chunk, count, seed)
    here = slice(rank * count // world, (rank + 1) * count // world)
    labels = torch.arange(count) % 3 if labelled else None
    value = _loss(loss, layers, data[here], None if labels is None else labels[here])
    value.backward()
    found = {"value": value.detach()}
    weights = [*layers.parameters(), *loss.parameters()]
    found |= {str(place): weight.grad for place, weight in enumerate(weights)}
    for each in found.values():
        distributed.all_reduce(each)
        each /= world
    return found


def _model(name: str, chunk: int | None, count: int, seed: int):
    torch.manual_seed(seed)
    loss = LOSSES[name](chunk_size=chunk)
    layers = torch.nn.ModuleList([torch.nn.Linear(4, 5), torch.nn.Linear(4, 5)])
    return loss, layers, torch.randn(count, 2, 4)


def _loss(loss, layers, data, labels):
    first, second = (F.normalize(layer(data[:, place]), dim=1) for place, layer in enumerate(layers))
    return loss(first=first, second=second, labels=labels)


@pytest.mark.parametrize("world", [2, 4])
def test_processes_together_are_one(world, request):
    ranks = request.getfixturevalue({2: "two_ranks", 4: "four_ranks"}[world])
    kinds = [(name, chunk, labelled) for name in LOSSES for chunk in (None, 1) for labelled in (False, True)]
    for seed, (name, chunk, labelled) in enumerate(kinds):
        count = 8
        loss, layers, data = _model(name, chunk, count, seed)
        value = _loss(loss, layers, data, torch.arange(count) % 3 if labelled else None)
        value.backward()
        weights = [*layers.parameters(), *loss.parameters()]
        expected = {"value": value.detach()} | {str(i): weight.grad for i, weight in enumerate(weights)}
        for found in ranks.run(_on_a_rank, name, chunk, labelled, count, seed):
            close(found, expected)
