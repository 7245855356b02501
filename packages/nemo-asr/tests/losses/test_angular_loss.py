from __future__ import annotations

import math

import torch

from nemo_asr.losses.angular import AngularSoftmaxLoss


def test_the_loss_follows_its_definition():
    torch.manual_seed(0)
    cosines, labels = torch.rand(5, 4) * 1.8 - 0.9, torch.tensor([0, 3, 1, 1, 2])
    loss = AngularSoftmaxLoss(scale=30, margin=0.2)(cosines, labels)
    expected = 0.0
    for row, label in zip(cosines.tolist(), labels.tolist(), strict=True):
        right = 30 * math.cos(math.acos(row[label]) + 0.2)
        others = sum(math.exp(30 * value) for index, value in enumerate(row) if index != label)
        expected -= (right - math.log(math.exp(right) + others)) / 5
    assert math.isclose(loss.item(), expected, rel_tol=1e-4)


def test_without_margin_and_scale_it_is_cross_entropy():
    cosines, labels = torch.rand(5, 4) * 1.8 - 0.9, torch.tensor([0, 3, 1, 1, 2])
    loss = AngularSoftmaxLoss(scale=1, margin=0)(cosines, labels)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(cosines, labels))


def test_gradients_are_finite_at_the_ends():
    cosines = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], requires_grad=True)
    AngularSoftmaxLoss()(cosines, torch.tensor([0, 0])).backward()
    assert cosines.grad.isfinite().all()
