from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.losses import CTCLoss
from nemo_core.errors import ConfigError


def by_enumeration(log_probs, target, blank):
    """Minus log of the summed probability of every path that spells ``target``."""
    frames, size = log_probs.shape
    total = []
    for path in itertools.product(range(size), repeat=frames):
        if [label for label, _ in itertools.groupby(path) if label != blank] == target:
            total.append(sum(log_probs[t, label] for t, label in enumerate(path)))
    return -torch.logsumexp(torch.stack(total), 0) if total else None


@settings(max_examples=25, deadline=None)
@given(target=st.lists(st.integers(0, 1), min_size=0, max_size=3), frames=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_loss_is_the_sum_over_all_paths(target, frames, seed):
    torch.manual_seed(seed)
    log_probs = torch.randn(1, frames, 3).log_softmax(-1)
    loss = CTCLoss(blank=2, reduction="none")(
        log_probs, torch.tensor([[*target, 0]]), torch.tensor([frames]), torch.tensor([len(target)])
    )
    expected = by_enumeration(log_probs[0], target, blank=2)
    if expected is None:
        assert loss.item() == 0  # no path is that short: counts zero instead of infinity
    else:
        torch.testing.assert_close(loss[0], expected, rtol=1e-4, atol=1e-4)


def test_reductions():
    torch.manual_seed(0)
    log_probs = torch.randn(2, 10, 4).log_softmax(-1)
    targets, target_length = torch.tensor([[0, 1, 2], [1, 0, 0]]), torch.tensor([3, 1])
    given = (log_probs, targets, torch.tensor([10, 7]), target_length)
    each = CTCLoss(3, "none")(*given)
    expected = {
        "mean_batch": each.mean(),
        "mean_volume": each.sum() / 4,
        "mean": (each / target_length).mean(),
        "sum": each.sum(),
    }
    for reduction, value in expected.items():
        torch.testing.assert_close(CTCLoss(3, reduction)(*given), value)


def test_infinite_losses_and_their_gradients_are_zeroed_only_if_asked_for():
    log_probs = torch.randn(1, 2, 3).log_softmax(-1).requires_grad_()
    given = (log_probs, torch.tensor([[0, 0, 0]]), torch.tensor([2]), torch.tensor([3]))
    loss = CTCLoss(2)(*given)
    loss.backward()
    assert loss.item() == 0
    assert not log_probs.grad.any()
    assert CTCLoss(2, zero_infinity=False)(*given).item() == float("inf")


def test_padding_does_not_count():
    torch.manual_seed(0)
    log_probs = torch.randn(1, 12, 4).log_softmax(-1)
    loss = CTCLoss(3)
    alone = loss(log_probs[:, :8], torch.tensor([[0, 1]]), torch.tensor([8]), torch.tensor([2]))
    padded = loss(log_probs, torch.tensor([[0, 1, 2, 2]]), torch.tensor([8]), torch.tensor([2]))
    torch.testing.assert_close(alone, padded)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(ConfigError, match="mean_batches"):
        CTCLoss(2, reduction="mean_batches")
