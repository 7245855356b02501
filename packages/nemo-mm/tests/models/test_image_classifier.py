from __future__ import annotations

import pytest
import torch
from generation_support import NAMES, make_judge, transform

from nemo_core.errors import ConfigError, DataError
from nemo_core.testing.modules import check_module
from nemo_mm.models import ImageClassifier, restore
from nemo_mm.modules import ConvNet, RandomAffine


@pytest.mark.parametrize("name", ["mm.ConvNet", "mm.RandomAffine", "mm.CharacterEncoder", "mm.DiT"])
def test_modules_keep_what_modules_promise(name):
    check_module(name)


def test_judging_in_batches_changes_nothing(tmp_path):
    judge = make_judge()
    images = torch.randint(256, (7, 1, 8, 8), dtype=torch.uint8)
    probabilities, features = judge.judge(images)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(7))
    for whole, part in zip((probabilities, features), judge.judge(images, batch_size=3), strict=True):
        torch.testing.assert_close(part, whole)
    torch.testing.assert_close(probabilities, judge(images).softmax(1))
    judge.save(tmp_path / "judge.nemo")
    torch.testing.assert_close(restore(tmp_path / "judge.nemo").judge(images)[1], features)


def test_pictures_of_another_size_are_not_judged():
    with pytest.raises(DataError, match=r"made for \(1, 8, 8\)"):
        make_judge().judge(torch.zeros(1, 1, 9, 8, dtype=torch.uint8))


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="3 names for 2 classes"):
        ImageClassifier(transform(), ConvNet(2, widths=[4], strides=[1]), NAMES)
    with pytest.raises(ConfigError, match="1 channels for a network of 3"):
        ImageClassifier(transform(), ConvNet(3, 3, widths=[4], strides=[1]), NAMES)
    with pytest.raises(ConfigError, match="cannot be told apart"):
        ConvNet(1)
    with pytest.raises(ConfigError, match="do not fit"):
        ConvNet(2, widths=[4, 4], strides=[1])
    with pytest.raises(ConfigError, match="positive"):
        RandomAffine(shift=-1)


def test_augmentation_moves_each_picture_a_little_and_only_in_training():
    pixels = torch.full((64, 1, 28, 28), -1.0)
    pixels[:, :, 10:18, 10:18] = 1.0
    torch.manual_seed(0)
    move = RandomAffine()
    moved = move(pixels=pixels)
    assert moved.shape == pixels.shape
    assert float(moved[:, :, 0].max()) == -1  # the ground goes on beyond the border
    changed = (moved - pixels).abs().mean((1, 2, 3))
    assert bool((changed > 0).all())
    assert float(changed.std()) > 0
    ink = ((moved + 1) / 2).sum((1, 2, 3)) / 64
    assert 0.7 < float(ink.mean()) < 1.3
    assert torch.equal(move.eval()(pixels=pixels), pixels)
    assert torch.equal(RandomAffine(0, 0, 0, 0)(pixels=pixels) > 0, pixels > 0)
