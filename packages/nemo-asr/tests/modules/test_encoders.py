"""What every registered encoder promises."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.modules import AcousticEncoder
from nemo_core.plugins import registry
from nemo_core.testing import check_module

JASPER = [
    {"filters": 8, "kernel": 5, "stride": 2, "residual": False, "separable": True},
    {"filters": 8, "kernel": 11, "repeat": 2, "separable": True},
]
CONFORMER = {"n_layers": 2, "d_model": 8, "n_heads": 2, "conv_kernel_size": 5}
# Of each encoder: forms that differ in how padding could leak. (test_conv_encoder and test_conformer draw many more.)
FORMS = {
    "asr.ConvASREncoder": {
        "jasper": {"jasper": [{"filters": 8, "kernel": 11}, {"filters": 8, "kernel": 5, "dilation": 2}]},
        "quartznet": {"jasper": JASPER},
        "citrinet": {"jasper": [{**block, "se": True, "stride_last": True} for block in JASPER]},
        "contextnet": {"jasper": [{**block, "se": True} for block in JASPER], "activation": "swish"},
    },
    "asr.ConformerEncoder": {
        "conformer": CONFORMER,
        "fastconformer": {**CONFORMER, "subsampling": "dw_striding", "subsampling_factor": 8},
        "causal": {**CONFORMER, "causal_downsampling": True, "conv_context_size": "causal", "att_context_size": [4, 0]},
        "local": {**CONFORMER, "self_attention_model": "rel_pos_local_attn", "att_context_size": [2, 2]},
    },
    "asr.SqueezeformerEncoder": {
        "reduced to the last layer": {**CONFORMER, "time_reduce_idx": 0},
        "reduced in between": {**CONFORMER, "n_layers": 4, "time_reduce_idx": 1, "time_recovery_idx": 2},
        "limited context": {**CONFORMER, "n_layers": 3, "time_reduce_idx": 1, "att_context_size": [3, 1]},
        "absolute positions": {**CONFORMER, "time_reduce_idx": 1, "self_attention_model": "abs_pos"},
        "group norm": {**CONFORMER, "conv_norm_type": "group_norm2", "subsampling": "vggnet"},
        "instance norm": {**CONFORMER, "conv_norm_type": "instance_norm", "subsampling": "stacking"},
    },
    "asr.LSTMEncoder": {
        "both directions": {"n_layers": 2, "d_model": 6, "proj_size": 8},
        "stacking": {"n_layers": 2, "d_model": 6, "proj_size": 8, "subsampling": "stacking"},
        "one direction": {"n_layers": 2, "d_model": 9, "proj_size": 8, "bidirectional": False},
        "no subsampling": {"n_layers": 1, "d_model": 6, "proj_size": 8, "subsampling_factor": 1},
    },
}
CASES = [pytest.param(name, form, id=f"{name}-{form}") for name, forms in FORMS.items() for form in forms]


def make(name: str, form: str) -> AcousticEncoder:
    torch.manual_seed(0)
    encoder = registry().get("module", name).load()(feat_in=6, **FORMS[name][form]).eval()
    for tensor in (*encoder.parameters(), *encoder.buffers()):
        if tensor.ndim == 1 and tensor.is_floating_point():
            with torch.no_grad():
                tensor.uniform_(0.5, 1.5)  # norms that shift zeros: what is not masked shows
    return encoder


def test_no_encoder_is_left_out():
    classes = {
        component.name: component.load()
        for component in registry().components("module")
        if component.distribution == "nemo-asr"
    }
    encoders = {name for name, cls in classes.items() if isinstance(cls, type) and issubclass(cls, AcousticEncoder)}
    assert encoders == FORMS.keys()


@pytest.mark.parametrize(("name", "form"), CASES)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_an_utterance_gives_the_same_alone_as_anywhere_in_a_padded_batch(name, form, data):
    encoder = make(name, form)
    lengths = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    frames = max(lengths) + data.draw(st.integers(0, 20))
    order = data.draw(st.permutations(range(len(lengths))))
    features = 3 * torch.randn(len(lengths), 6, frames)  # padding is garbage
    with torch.no_grad():
        together, counts = encoder(features=features[order], length=torch.tensor(lengths)[order])
        assert together.isfinite().all()
        assert together.shape[1] == encoder.feat_out
        for place, index in enumerate(order):
            length = lengths[index]
            alone, count = encoder(features=features[index : index + 1, :, :length], length=torch.tensor([length]))
            assert count.item() == counts[place].item() <= together.shape[2]
            ours, theirs = together[place, :, :count], alone[0, :, :count]
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "form"), CASES)
def test_the_stride_is_how_many_frames_make_one(name, form):
    encoder = make(name, form)
    encoded, length = encoder(features=torch.randn(1, 6, 240), length=torch.tensor([240]))
    assert length.item() <= encoded.shape[2]
    assert length.item() - 240 // encoder.stride in (0, 1)  # causal convolutions give one more


@pytest.mark.parametrize(("name", "form"), CASES)
def test_every_weight_learns(name, form):
    encoder = make(name, form).train()
    encoded, _ = encoder(features=torch.randn(2, 6, 60), length=torch.tensor([60, 30]))
    (encoded * torch.randn_like(encoded)).sum().backward()
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


@pytest.mark.parametrize("name", FORMS)
def test_it_keeps_the_promises_of_modules(name):
    check_module(name)
