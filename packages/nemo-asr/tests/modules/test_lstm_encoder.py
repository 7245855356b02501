from __future__ import annotations

import pytest
import torch

from nemo_asr.modules import LSTMEncoder
from nemo_core.errors import ConfigError


def make(**options):
    return LSTMEncoder(**{"feat_in": 6, "n_layers": 2, "d_model": 8, "proj_size": 4, **options}).eval()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_only_backward_lstms_see_what_comes_later(bidirectional):
    features = torch.randn(1, 6, 12, requires_grad=True)
    encoder = make(bidirectional=bidirectional, subsampling_factor=1)
    encoder(features, torch.tensor([12]))[0][:, :, 5].square().sum().backward()
    last = int(features.grad.abs().sum(dim=(0, 1)).nonzero().max())
    assert last == (11 if bidirectional else 5)


def test_no_frames_at_all_disturb_nobody():
    encoder, features = make(subsampling="stacking"), torch.randn(2, 6, 12)
    together, frames = encoder(features, torch.tensor([12, 0]))
    alone, _ = encoder(features[:1], torch.tensor([12]))
    assert frames.tolist() == [3, 0]
    assert together.isfinite().all()
    torch.testing.assert_close(together[:1], alone)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rnn_type": "gru"}, "rnn_type 'gru'"),
        ({"proj_size": -1}, "proj_size -1"),
        ({"proj_size": 5}, "proj_size 5 does not fit 2 x 8"),
        ({"proj_size": 8, "bidirectional": False}, "proj_size 8"),
    ],
)
def test_nonsense_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        make(**options)
