from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.modules import ConvASREncoder
from nemo_asr.modules.jasper import JasperBlock, MaskedConv1d, mask_beyond, same_padding
from nemo_core.errors import ConfigError, NeuralTypeError

QUARTZNET_15X5 = [
    {"filters": 256, "kernel": [33], "stride": [2], "residual": False, "separable": True},
    *[
        {"filters": filters, "repeat": 5, "kernel": [kernel], "residual": True, "separable": True}
        for filters, kernel in ((256, 33), (256, 39), (512, 51), (512, 63), (512, 75))
        for _ in range(3)
    ],
    {"filters": 512, "kernel": [87], "dilation": [2], "residual": False, "separable": True},
    {"filters": 1024, "kernel": [1], "residual": False},
]


def test_quartznet_15x5_has_the_published_size():
    assert ConvASREncoder(QUARTZNET_15X5, feat_in=64).num_weights == 18_894_656


def test_names_of_weights_are_nvidias(nvidia):
    shapes = json.loads((nvidia / "quartznet_ctc" / "state_dict_shapes.json").read_text())
    blocks = [
        {"filters": 32, "kernel": [33], "stride": [2], "residual": False, "separable": True},
        {"filters": 32, "kernel": [33], "repeat": 2, "separable": True},
        {"filters": 32, "kernel": [1], "residual": False},
    ]
    encoder = ConvASREncoder(blocks, feat_in=64)
    ours = {f"encoder.{name}": list(weight.shape) for name, weight in encoder.state_dict().items()}
    assert ours == {name: shape for name, shape in shapes.items() if name.startswith("encoder.")}


@st.composite
def encoders(draw):
    blocks = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "filters": st.integers(1, 8),
                    "kernel": st.sampled_from([1, 3, 5, 11]),
                    "repeat": st.integers(1, 2),
                    "residual": st.booleans(),
                    "separable": st.booleans(),
                }
            ),
            min_size=1,
            max_size=3,
        )
    )
    blocks[0].update(stride=draw(st.sampled_from([1, 2])), repeat=1)
    blocks[-1].update(dilation=draw(st.sampled_from([1, 2])) if "stride" not in blocks[-1] else 1)
    torch.manual_seed(draw(st.integers(0, 1000)))
    encoder = ConvASREncoder(blocks, feat_in=4).eval()
    for buffer in encoder.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    for weight in encoder.parameters():
        if weight.ndim == 1:
            torch.nn.init.normal_(weight)  # norms that shift zeros: what is not masked shows
    return encoder


@settings(max_examples=60, deadline=None)
@given(encoder=encoders(), lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4), extra=st.integers(0, 20))
def test_an_utterance_gives_the_same_alone_as_in_any_padded_batch(encoder, lengths, extra):
    generator = torch.Generator().manual_seed(len(lengths))
    features = 3 * torch.randn(len(lengths), 4, max(lengths) + extra, generator=generator)  # padding is garbage
    with torch.no_grad():
        together, frames = encoder(features, torch.tensor(lengths))
        for index, length in enumerate(lengths):
            alone, count = encoder(features[index : index + 1, :, :length], torch.tensor([length]))
            assert count.item() == frames[index].item() == alone.shape[2]
            torch.testing.assert_close(together[index : index + 1, :, :count], alone, rtol=1e-4, atol=1e-4)


def test_without_masks_padding_leaks():
    blocks = [{"filters": 4, "kernel": 5}, {"filters": 4, "kernel": 5}]
    for conv_mask in (True, False):
        torch.manual_seed(0)
        encoder = ConvASREncoder(blocks, feat_in=4, conv_mask=conv_mask).eval()
        features = torch.randn(1, 4, 20)
        with torch.no_grad():
            padded, _ = encoder(features, torch.tensor([10]))
            alone, _ = encoder(features[..., :10], torch.tensor([10]))
        assert torch.allclose(padded[..., :10], alone, atol=1e-5) is conv_mask


def test_stride_counts_all_blocks():
    encoder = ConvASREncoder([{"filters": 4, "kernel": 3, "stride": 2}, {"filters": 4, "kernel": 3, "stride": 3}], 4)
    encoded, length = encoder(torch.randn(1, 4, 60), torch.tensor([60]))
    assert (encoder.stride, encoded.shape[2], length.item()) == (6, 10, 10)


def test_an_activation_and_dropout_end_each_block():
    block = JasperBlock(4, 4, kernel_size=3, dropout=0.5, activation="relu")
    out, _ = block(torch.randn(2, 4, 200), torch.tensor([200, 200]))
    assert out.min() >= 0
    assert (out == 0).float().mean() > 0.6  # half of it by the activation, half of the rest by dropout


def test_gradients_do_not_reach_padding():
    features = torch.randn(1, 4, 20, requires_grad=True)
    encoder = ConvASREncoder([{"filters": 4, "kernel": 5}], feat_in=4).eval()
    encoded, _ = encoder(features, torch.tensor([10]))
    encoded[..., :10].sum().backward()
    assert features.grad[..., :10].any()
    assert not features.grad[..., 10:].any()


def test_mask_and_padding_helpers():
    assert mask_beyond(torch.ones(1, 1, 4), torch.tensor([2])).tolist() == [[[1, 1, 0, 0]]]
    assert [same_padding(5, 1, 1), same_padding(5, 1, 2), same_padding(5, 2, 1)] == [2, 4, 2]
    with pytest.raises(ConfigError, match="not both"):
        same_padding(5, 2, 2)


@given(length=st.integers(1, 100), kernel=st.integers(1, 9), stride=st.integers(1, 3), padding=st.integers(0, 4))
def test_lengths_after_a_convolution_are_those_that_come_out(length, kernel, stride, padding):
    if length + 2 * padding < kernel:
        return
    conv = MaskedConv1d(1, 1, kernel, stride=stride, padding=padding)
    out, frames = conv(torch.randn(1, 1, length), torch.tensor([length]))
    assert out.shape[2] == frames.item()


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"filters": 4}, r"encoder.jasper\[0\]: kernel is missing"),
        ({"filters": 4, "kernel": 3, "kernal": 5}, "kernal is not a key"),
        ({"filters": 4, "kernel": [3, 5]}, r"jasper\[0\].kernel: \[3, 5\]"),
        ({"filters": 4, "kernel": 3, "stride": 0}, "stride: 0"),
        ({"filters": 4, "kernel": 3, "se": True}, "se: True is not offered"),
    ],
)
def test_bad_blocks_are_named(block, said):
    with pytest.raises(ConfigError, match=said):
        ConvASREncoder([block], feat_in=4)


def test_bad_options_are_refused():
    block = {"filters": 4, "kernel": 3}
    for options in ({"activation": "rellu"}, {"normalization_mode": "layer"}, {"init_mode": "orthogonal"}):
        with pytest.raises(ConfigError):
            ConvASREncoder([block], feat_in=4, **options)


def test_features_in_another_order_are_refused():
    with pytest.raises(NeuralTypeError):
        ConvASREncoder([{"filters": 4, "kernel": 3}], feat_in=4)(torch.randn(4, 10), torch.tensor([10]))
