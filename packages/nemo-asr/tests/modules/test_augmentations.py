from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.modules.crop_or_pad import CropOrPad
from nemo_asr.modules.masked_patches import MaskedPatches
from nemo_core.errors import ConfigError


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    extra=st.integers(1, 10),
    size=st.integers(1, 50),
    training=st.booleans(),
)
def test_cropping_and_padding_keep_one_stretch_of_each_utterance(lengths, extra, size, training):
    frames = torch.arange(1, max(lengths) + extra + 1).float()
    features = frames.expand(len(lengths), 2, -1)
    out, length = CropOrPad(size).train(training)(features, torch.tensor(lengths))
    assert out.shape == (len(lengths), 2, size)
    assert length.tolist() == [size] * len(lengths)
    assert torch.equal(out[:, 0], out[:, 1])
    for item, count in zip(out[:, 0], lengths, strict=True):
        kept = item[item > 0]
        assert len(kept) == min(count, size)
        assert (kept <= count).all()
        assert (kept.diff() == 1).all()
        if count <= size:
            assert (item[: (size - count) // 2] == 0).all()
            assert (item[(size - count) // 2 :][:count] > 0).all()
        elif not training:
            assert kept[0].item() == (count - size) // 2 + 1


def test_crops_are_random_in_training_and_reach_both_ends():
    torch.manual_seed(0)
    features, length = torch.arange(10.0).expand(400, 1, -1), torch.full((400,), 10)
    out, _ = CropOrPad(4)(features, length)
    assert set(out[:, 0, 0].tolist()) == {0, 1, 2, 3, 4, 5, 6}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    lengths=st.lists(st.integers(0, 50), min_size=1, max_size=4),
    size=st.integers(1, 20),
    wanted=st.one_of(st.integers(1, 6), st.floats(0, 0.99)),
)
def test_as_many_whole_patches_are_hidden_as_asked_for(seed, lengths, size, wanted):
    torch.manual_seed(seed)
    features = torch.ones(len(lengths), 3, 50)
    out = MaskedPatches(size, wanted)(features, torch.tensor(lengths))
    assert torch.equal(features, torch.ones_like(features))
    for item, length in zip(out, lengths, strict=True):
        assert (item == item[:1]).all()  # all bins alike
        hidden = item[0] == 0
        whole = length // size
        patches = hidden[: whole * size].view(whole, size)
        assert (patches.all(dim=1) == patches.any(dim=1)).all()
        assert not hidden[whole * size :].any()
        expected = wanted if wanted >= 1 else -(-int(torch.tensor(length) * wanted) // size)
        assert patches.any(dim=1).sum() == min(expected, whole)


def test_patches_are_drawn_anew_and_bands_of_frequency_beside_them():
    torch.manual_seed(0)
    features, length = torch.ones(64, 20, 100), torch.full((64,), 100)
    hidden = MaskedPatches(10, 3)(features, length) == 0
    assert len({tuple(item[0].tolist()) for item in hidden}) > 30
    bands = MaskedPatches(10, 0, freq_masks=1, freq_width=5)(features, length) == 0
    assert bands.any(dim=1).all(dim=1).any()
    assert bands.all(dim=2).any(dim=1).float().mean() > 0.5


def test_patches_are_hidden_in_training_only():
    features, length = torch.randn(2, 4, 100), torch.tensor([100, 50])
    assert MaskedPatches().eval()(features, length) is features


def test_bad_options_are_refused():
    for build in (lambda: CropOrPad(0), lambda: MaskedPatches(0), lambda: MaskedPatches(4, -1)):
        with pytest.raises(ConfigError):
            build()
