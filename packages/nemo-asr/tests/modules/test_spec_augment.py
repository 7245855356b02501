from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.modules import SpecAugment
from nemo_core.errors import ConfigError


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    freq=st.tuples(st.integers(0, 3), st.integers(0, 30)),
    time=st.tuples(st.integers(0, 3), st.one_of(st.integers(0, 60), st.floats(0, 1))),
    rect=st.tuples(st.integers(0, 3), st.integers(0, 60), st.integers(0, 30)),
    lengths=st.lists(st.integers(0, 50), min_size=1, max_size=4),
)
def test_masks_stay_within_their_bounds(seed, freq, time, rect, lengths):
    torch.manual_seed(seed)
    augment = SpecAugment(
        freq_masks=freq[0],
        freq_width=freq[1],
        time_masks=time[0],
        time_width=time[1],
        rect_masks=rect[0],
        rect_time=rect[1],
        rect_freq=rect[2],
        mask_value=-1.0,
    )
    features = torch.ones(len(lengths), 20, 50)
    out = augment(features, torch.tensor(lengths))
    assert torch.equal(features, torch.ones_like(features))  # the input is left alone
    assert set(out.unique().tolist()) <= {-1.0, 1.0}
    for item, length in zip(out, lengths, strict=True):
        hidden = item < 0
        whole_bins = hidden.all(dim=1).sum().item()
        longest = int(time[1] * length) if isinstance(time[1], float) else time[1]
        outside = hidden[:, length:]
        assert outside.any(dim=1).sum() <= freq[0] * freq[1]  # only bands of frequency reach padding
        assert hidden.all(dim=0).sum() <= time[0] * min(longest, length) + rect[0] * rect[1] or whole_bins == 20


def test_every_kind_of_mask_hides_something():
    features, length = torch.ones(64, 20, 50), torch.full((64,), 50)
    torch.manual_seed(0)
    for options in ({"freq_masks": 1}, {"time_masks": 1}, {"time_masks": 1, "time_width": 0.2}, {"rect_masks": 1}):
        hidden = SpecAugment(**options)(features, length) == 0
        assert 0.01 < hidden.float().mean() < 0.5
        assert len({tuple(item.flatten().tolist()) for item in hidden}) > 10  # utterances differ


def test_nothing_happens_outside_training():
    augment = SpecAugment(freq_masks=2, time_masks=2, rect_masks=5).eval()
    features = torch.randn(2, 20, 50)
    assert augment(features, torch.tensor([50, 30])) is features


def test_a_fraction_above_one_is_refused():
    with pytest.raises(ConfigError, match="time_width"):
        SpecAugment(time_width=1.5)
