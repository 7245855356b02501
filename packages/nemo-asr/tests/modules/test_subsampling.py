from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.modules.subsampling import Reduction, make_subsampling
from nemo_core.errors import ConfigError

KINDS = ["striding", "dw_striding", "vggnet", "stacking", "stacking_norm"]


def make(kind, factor=4, causal=False):
    torch.manual_seed(0)
    return make_subsampling(kind, feat_in=9, feat_out=6, factor=factor, channels=3, causal=causal).eval()


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    factor=st.sampled_from([2, 4, 8]),
    causal=st.booleans(),
    length=st.integers(0, 40),
    extra=st.integers(0, 20),
)
def test_padding_changes_nothing_and_lengths_are_those_that_come_out(kind, factor, causal, length, extra):
    subsampling = make(kind, factor, causal and kind != "vggnet")
    x = 3 * torch.randn(1, max(length + extra, 1), 9)
    with torch.no_grad():
        padded, frames = subsampling(x, torch.tensor([length]))
        if length == 0:
            assert frames.item() <= 1  # the padding of a causal convolution reaches a frame
            return
        alone, count = subsampling(x[:, :length], torch.tensor([length]))
    assert frames.item() == count.item() <= alone.shape[1]
    assert kind.startswith("stacking") or count.item() == alone.shape[1]
    torch.testing.assert_close(padded[:, :count], alone[:, :count], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["striding", "dw_striding"])
def test_causal_convolutions_do_not_look_ahead(kind):
    x = torch.randn(1, 40, 9, requires_grad=True)
    y, _ = make(kind, causal=True)(x, torch.tensor([40]))
    y[:, 3].sum().backward()
    seen = x.grad.abs().sum(dim=(0, 2)).nonzero().flatten()
    assert seen.max() <= 3 * 4 + 3  # frames of the stride to which it belongs, and none after
    assert make(kind)(x, torch.tensor([40]))[0].shape[1] == 10


def test_one_frame_stays_one_frame():
    assert isinstance(make("striding", factor=1), torch.nn.Linear)


@pytest.mark.parametrize("kind", ["pooling", "striding"])
def test_reduction(kind):
    reduction = Reduction(6, kind=kind, factor=2).eval()
    x = torch.randn(2, 9, 6)
    y, length = reduction(x, torch.tensor([9, 4]))
    alone, count = reduction(x[1:, :4], torch.tensor([4]))
    assert length[1] == count[0]
    torch.testing.assert_close(y[1:, : count[0]], alone)
    assert reduction(x[:, :1], torch.tensor([1, 1]))[0].shape[1] == 1


def test_nonsense_is_refused():
    for problem, options in {
        "not a power of two": {"kind": "striding", "factor": 6},
        "is not known": {"kind": "stride"},
        "cannot be causal": {"kind": "vggnet", "causal": True},
    }.items():
        with pytest.raises(ConfigError, match=problem):
            make(**options)
    with pytest.raises(ConfigError, match="reduction"):
        Reduction(4, kind="mean", factor=2)
