from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.modules import ConvASREncoder, CTCDecoder
from nemo_asr.modules.jasper import JasperBlock, MaskedConv1d, mask_beyond, same_padding
from nemo_asr.modules.squeeze_excite import SqueezeExcite
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
                    "residual_mode": st.sampled_from(["add", "stride_add", "max"]),
                    "residual_dense": st.booleans(),
                    "separable": st.booleans(),
                    "se": st.booleans(),
                    "se_reduction_ratio": st.sampled_from([1, 8]),
                    "se_context_size": st.sampled_from([-1, 5]),
                    "kernel_size_factor": st.sampled_from([0.5, 1.0]),
                    "future_context": st.sampled_from([-1, 0, 1]),
                }
            ),
            min_size=1,
            max_size=3,
        )
    )
    blocks[0].update(stride=draw(st.sampled_from([1, 2])), stride_last=draw(st.booleans()), residual_dense=False)
    if "stride" not in blocks[-1]:
        blocks[-1].update(dilation=draw(st.sampled_from([1, 2])), future_context=-1)
    for block in blocks:
        block["heads"] = draw(st.sampled_from([-1, 1])) if block["separable"] else -1
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


def nvidias(name, nvidia):
    """The encoder of a reference archive, as configuration and as shapes of weights."""
    with tarfile.open(nvidia / name / f"{name}.nemo") as archive:
        config = yaml.safe_load(archive.extractfile("./model_config.yaml").read())["encoder"]
    config.pop("_target_")
    shapes = json.loads((nvidia / name / "state_dict_shapes.json").read_text())
    return config, {key: shape for key, shape in shapes.items() if key.startswith("encoder.")}


@pytest.mark.parametrize("name", ["quartznet_ctc", "citrinet_ctc_bpe", "matchboxnet_3x1x64", "titanet_small"])
def test_nvidias_configurations_give_nvidias_weights(nvidia, name):
    config, shapes = nvidias(name, nvidia)
    encoder = ConvASREncoder(**config)
    assert {f"encoder.{key}": list(weight.shape) for key, weight in encoder.state_dict().items()} == shapes


def test_citrinet_encodes_as_nvidias_does(nvidia):
    folder = nvidia / "citrinet_ctc_bpe"
    with tarfile.open(folder / "citrinet_ctc_bpe.nemo") as archive:
        state = torch.load(io.BytesIO(archive.extractfile("./model_weights.ckpt").read()), weights_only=True)
    expected = np.load(folder / "expected.npz")
    encoder = ConvASREncoder(**nvidias("citrinet_ctc_bpe", nvidia)[0]).eval()
    encoder.load_state_dict({k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")})
    decoder = CTCDecoder(encoder.feat_out, vocabulary=64)
    decoder.load_state_dict({k.removeprefix("decoder."): v for k, v in state.items() if k.startswith("decoder.")})
    features, length = torch.from_numpy(expected["features"]), torch.from_numpy(expected["features_len"])
    with torch.no_grad():
        encoded, frames = encoder(features, length)
        log_probs = decoder(encoded).numpy()
    assert frames.tolist() == expected["encoded_len"].tolist()
    np.testing.assert_allclose(log_probs, expected["log_probs"], rtol=1e-4, atol=1e-5)


def test_squeeze_excite_averages_a_random_stretch_in_training_and_all_in_evaluation():
    torch.manual_seed(0)
    whole, part = SqueezeExcite(4, 2), SqueezeExcite(4, 2, context_size=3)
    part.load_state_dict(whole.state_dict())
    x, length = torch.randn(8, 4, 20), torch.full((8,), 15)
    x[..., 15:] = 1e6  # beyond the end
    assert torch.equal(whole.eval()(x, length), part.eval()(x, length))
    part.train()
    first, second = part(x, length), part(x, length)
    assert not torch.equal(first, second)
    assert not first[..., 15:].any()
    short = torch.full((8,), 3)
    torch.testing.assert_close(part(x, short), whole(x, short))


def test_heads_share_kernels():
    conv = MaskedConv1d(6, 6, 3, groups=6, heads=2, padding=1)
    x, length = torch.randn(2, 6, 10), torch.tensor([10, 10])
    full = torch.nn.functional.conv1d(x, conv.conv.weight.repeat(3, 1, 1), padding=1, groups=6)
    torch.testing.assert_close(conv(x, length)[0], full)


@pytest.mark.parametrize(("future", "sees"), [(0, 10), (2, 12), (-1, 14), (9, 14)])
def test_future_context_limits_what_a_frame_sees(future, sees):
    block = {"filters": 2, "kernel": 9, "future_context": future, "residual": False}
    encoder = ConvASREncoder([block], feat_in=2, activation="identity").eval()
    features = torch.randn(1, 2, 30, requires_grad=True)
    encoded, length = encoder(features, torch.tensor([30]))
    assert (encoded.shape[2], length.item()) == (30, 30)
    encoded[0, :, 10].sum().backward()
    assert features.grad[0].any(dim=0).nonzero().max().item() == sees


def test_a_dense_block_adds_the_inputs_of_the_dense_blocks_before():
    torch.manual_seed(0)
    kinds = [False, True, True, True, False, True]
    blocks = [{"filters": 3 + index, "kernel": 3, "residual_dense": dense} for index, dense in enumerate(kinds)]
    encoder = ConvASREncoder(blocks, feat_in=2)
    assert [len(block.res) for block in encoder.encoder] == [1, 1, 2, 3, 1, 1]
    assert [branch[0].conv.in_channels for branch in encoder.encoder[3].res] == [3, 4, 5]
    features, length = torch.randn(1, 2, 20), torch.tensor([20])
    expected = features
    seen = []
    for block, wanted in zip(encoder.eval().encoder, [0, 0, 1, 2, 0, 0], strict=True):
        seen, x = [*seen, expected], expected
        expected, _ = block(x, length, seen[len(seen) - 1 - wanted : -1])
    torch.testing.assert_close(encoder(features, length)[0], expected)
    with pytest.raises(ConfigError, match="residual_dense and a stride"):
        ConvASREncoder([{"filters": 3, "kernel": 3, "residual_dense": True, "stride": 2}], feat_in=2)


def test_a_block_that_does_not_say_joins_its_residual_as_the_one_before():
    blocks = [{"filters": 3, "kernel": 3, **extra} for extra in ({}, {"residual_mode": "max"}, {})]
    encoder = ConvASREncoder(blocks, feat_in=2, residual_mode="stride_add")
    assert [block.residual_mode for block in encoder.encoder] == ["stride_add", "max", "max"]


@pytest.mark.parametrize(("last", "stride"), [(True, 2), (False, 8)])
def test_all_convolutions_of_a_block_have_the_stride_or_only_the_last(last, stride):
    block = {"filters": 3, "kernel": 3, "repeat": 3, "stride": 2, "stride_last": last}
    encoder = ConvASREncoder([block], feat_in=2)
    encoded, length = encoder(torch.randn(1, 2, 32), torch.tensor([32]))
    assert (encoder.stride, encoded.shape[2], length.item()) == (stride, 32 // stride, 32 // stride)


def test_groups_are_shuffled_after_the_norm():
    encoder = ConvASREncoder([{"filters": 4, "kernel": 3, "groups": 2}], feat_in=4)
    assert [type(layer).__name__ for layer in encoder.encoder[0].mconv] == [
        "MaskedConv1d",
        "BatchNorm1d",
        "ChannelShuffle",
    ]


@pytest.mark.parametrize("mode", ["tds_uniform", "tds_normal", "kaiming_normal"])
def test_weights_are_drawn_as_asked(mode):
    torch.manual_seed(0)
    encoder = ConvASREncoder([{"filters": 64, "kernel": 11, "residual": False}], feat_in=64, init_mode=mode)
    weight = encoder.encoder[0].mconv[0].conv.weight
    bound = 2 / (64 * 11) ** 0.5
    deviation = {"tds_uniform": bound / 3**0.5, "tds_normal": bound, "kaiming_normal": bound / 2**0.5}[mode]
    assert weight.std().item() == pytest.approx(deviation, rel=0.02)


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
        ({"filters": 4, "kernel": 3, "residual_mode": "mul"}, "residual_mode 'mul'"),
        ({"filters": 4, "kernel": 3, "separable": True, "heads": 3}, "heads 3"),
        ({"filters": 4, "kernel": 3, "dilation": 2, "future_context": 1}, "not both"),
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
