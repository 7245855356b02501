from __future__ import annotations

import pytest
import torch

from nemo_asr.modules import SqueezeformerEncoder
from nemo_asr.modules.squeezeformer_layer import ScaleBias, TimeReduction
from nemo_core.errors import ConfigError


def make(**options):
    return SqueezeformerEncoder(**{"feat_in": 6, "n_layers": 3, "d_model": 8, "n_heads": 2, **options}).eval()


def test_half_the_frames_go_through_the_layers_between():
    encoder = make(n_layers=4, time_reduce_idx=1, time_recovery_idx=3)
    seen = []
    for layer in encoder.layers:
        layer.register_forward_hook(lambda layer, args, output: seen.append(output.shape[1]))
    encoded, _ = encoder(torch.randn(1, 6, 84), torch.tensor([84]))
    assert seen == [21, 11, 11, 21]
    assert encoded.shape[2] == 21


def test_by_default_the_last_layer_sees_all_frames_again():
    assert make(time_reduce_idx=1).time_recovery_idx == 2
    assert make().time_reduce_layer is None


def test_a_reduced_frame_comes_from_the_five_around_it():
    x = torch.randn(1, 9, 8, requires_grad=True)
    TimeReduction(8)(x, torch.ones(1, 9, dtype=torch.bool))[0, 2].sum().backward()
    assert x.grad.abs().sum(dim=(0, 2)).nonzero().flatten().tolist() == [1, 2, 3, 4, 5]


def test_scales_that_are_not_adaptive_are_kept_but_not_learned():
    fixed, adaptive = ScaleBias(4, adaptive=False), ScaleBias(4)
    assert fixed.state_dict().keys() == adaptive.state_dict().keys()
    assert not list(fixed.parameters())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"self_attention_model": "relpos"}, "self_attention_model 'relpos'"),
        ({"att_context_size": [4]}, r"att_context_size \[4\]"),
        ({"conv_kernel_size": 4}, "conv_kernel_size 4"),
        ({"conv_norm_type": "batchnorm"}, "conv_norm_type 'batchnorm'"),
        ({"time_reduce_idx": 3}, "time_reduce_idx 3"),
        ({"time_reduce_idx": 2, "time_recovery_idx": 1}, "time_recovery_idx 1"),
        ({"time_reduce_idx": -1}, "time_reduce_idx -1"),
        ({"subsampling": "stride"}, "subsampling 'stride'"),
    ],
)
def test_nonsense_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        make(**options)
