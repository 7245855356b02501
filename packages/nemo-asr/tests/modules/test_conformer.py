from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.modules import ConformerEncoder
from nemo_asr.modules.conformer_layer import MaskedGroupNorm
from nemo_core.errors import ConfigError
from nemo_core.testing import check_module

FAST = {"subsampling": "dw_striding", "subsampling_factor": 8, "subsampling_conv_channels": 256, "conv_kernel_size": 9}


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"d_model": 176, "n_heads": 4, "n_layers": 16}, 12_972_608),
        ({"d_model": 256, "n_heads": 4, "n_layers": 18}, 30_505_472),
        ({"d_model": 512, "n_heads": 8, "n_layers": 18}, 121_435_136),
        ({"d_model": 512, "n_heads": 8, "n_layers": 18, **FAST}, 115_074_560),
        ({"d_model": 512, "n_heads": 8, "n_layers": 17, **FAST}, 108_762_112),
    ],
    ids=["S", "M", "L", "FastConformer L 18", "FastConformer L 17"],
)
def test_published_sizes(options, size):
    with torch.device("meta"):
        assert ConformerEncoder(80, **options).num_weights == size


COMMON = {"n_layers": 2, "d_model": 32}
FIXTURES = {
    "conformer_ctc_bpe": COMMON,
    "fastconformer_ctc_bpe": {**COMMON, **FAST, "subsampling_conv_channels": 32},
    "fastconformer_ctc_bpe_streaming": {
        **COMMON,
        **FAST,
        "subsampling_conv_channels": 32,
        "causal_downsampling": True,
        "conv_norm_type": "layer_norm",
        "conv_context_size": "causal",
    },
}


@pytest.mark.parametrize("name", FIXTURES)
def test_names_of_weights_are_nvidias(nvidia, name):
    shapes = json.loads((nvidia / name / "state_dict_shapes.json").read_text())
    encoder = ConformerEncoder(80, **FIXTURES[name])
    ours = {f"encoder.{key}": list(weight.shape) for key, weight in encoder.state_dict().items()}
    assert ours == {key: shape for key, shape in shapes.items() if key.startswith("encoder.")}


def make(**options):
    options = {"n_layers": 2, "d_model": 8, "n_heads": 2, "conv_kernel_size": 5, **options}
    encoder = ConformerEncoder(6, **options).eval()
    for buffer in encoder.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    for weight in encoder.parameters():
        if weight.ndim == 1 or weight.shape == (2, 4):
            torch.nn.init.normal_(weight)  # norms that shift zeros: what is not masked shows
    return encoder


@st.composite
def encoders(draw):
    torch.manual_seed(draw(st.integers(0, 1000)))
    subsampling = draw(st.sampled_from(["striding", "dw_striding", "vggnet", "stacking", "stacking_norm"]))
    chunked = draw(st.booleans())
    reduction = draw(st.sampled_from([{}, {}, {"reduction": "pooling"}, {"reduction": "striding"}]))
    if reduction:
        reduction.update(reduction_position=draw(st.integers(-1, 1)), reduction_factor=2)
    attention = draw(st.sampled_from(["rel_pos", "rel_pos", "abs_pos", "rel_pos_local_attn"]))
    contexts = [None, [-1, -1], [4, 1], [6, -1], [-1, 0]]
    local = {}
    if attention == "rel_pos_local_attn":
        contexts, chunked = [[4, 1], [0, 2], [30, 30]], False
        local = {
            "global_tokens": draw(st.integers(0, 3)),
            "global_tokens_spacing": draw(st.integers(1, 3)),
            "global_attn_separate": draw(st.booleans()),
        }
    return make(
        subsampling=subsampling,
        subsampling_factor=draw(st.sampled_from([1, 2, 4])),
        causal_downsampling=draw(st.booleans()) and subsampling != "vggnet",
        self_attention_model=attention,
        att_context_size=draw(st.sampled_from(contexts)),
        **local,
        att_context_style="chunked_limited" if chunked else "regular",
        conv_norm_type=draw(st.sampled_from(["batch_norm", "layer_norm", "instance_norm", "group_norm2"])),
        conv_context_size=draw(st.sampled_from([None, "causal", [3, 1]])),
        xscaling=draw(st.booleans()),
        untie_biases=draw(st.booleans()),
        use_bias=draw(st.booleans()),
        feat_out=draw(st.sampled_from([-1, 5])),
        **reduction,
    )


@settings(max_examples=60, deadline=None)
@given(encoder=encoders(), lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4), extra=st.integers(0, 20))
def test_an_utterance_gives_the_same_alone_as_in_any_padded_batch(encoder, lengths, extra):
    generator = torch.Generator().manual_seed(len(lengths))
    features = 3 * torch.randn(len(lengths), 6, max(lengths) + extra, generator=generator)  # padding is garbage
    with torch.no_grad():
        together, frames = encoder(features, torch.tensor(lengths))
        assert together.isfinite().all()
        assert together.shape[1] == encoder.feat_out
        for index, length in enumerate(lengths):
            alone, count = encoder(features[index : index + 1, :, :length], torch.tensor([length]))
            assert count.item() == frames[index].item()
            torch.testing.assert_close(together[index, :, :count], alone[0, :, :count], rtol=1e-4, atol=1e-4)


def test_modules_keep_their_promises():
    check_module(lambda: ConformerEncoder(8, n_layers=1, d_model=16, dropout=0.0, dropout_emb=0.0), sizes={"D": 8})


@pytest.mark.parametrize("style", ["regular", "chunked_limited"])
def test_a_streaming_encoder_sees_no_further_than_it_says(style):
    encoder = make(
        subsampling="dw_striding",
        causal_downsampling=True,
        conv_context_size="causal",
        conv_norm_type="layer_norm",
        att_context_size=[4, 1],
        att_context_style=style,
        n_layers=2,
    )
    features = torch.randn(1, 6, 80, requires_grad=True)
    encoded, _ = encoder(features, torch.tensor([80]))
    encoded[:, :, 6].sum().backward()
    last = int(features.grad.abs().sum(dim=(0, 1)).nonzero().max())
    # Chunks of two frames: the 7th sees the 8th. Regular contexts add up over the two layers: it sees the 9th too.
    assert last // 4 == (7 if style == "chunked_limited" else 8)


def test_one_of_several_contexts_is_drawn_in_training():
    encoder = make(att_context_size=[[-1, -1], [0, 0]], att_context_probs=[0.5, 0.5], dropout_emb=0.0, dropout=0.0)
    features, length = torch.randn(1, 6, 40), torch.tensor([40])
    with torch.no_grad():
        assert all(encoder._context() == (-1, -1) for _ in range(5))
        encoder.train()
        drawn = {encoder._context() for _ in range(50)}
        assert drawn == {(-1, -1), (0, 0)}
        torch.manual_seed(0)
        first = encoder(features, length)[0]
        torch.manual_seed(0)
        torch.testing.assert_close(encoder(features, length)[0], first)


def test_tied_biases_are_one_for_all_layers():
    encoder = make(untie_biases=False)
    assert encoder.layers[0].self_attn.pos_bias_u is encoder.layers[1].self_attn.pos_bias_u
    assert make().layers[0].self_attn.pos_bias_u is not make().layers[1].self_attn.pos_bias_u


def test_stochastic_depth():
    assert make(n_layers=4, stochastic_depth_drop_prob=0.3).drop_probs == pytest.approx([0, 0.1, 0.2, 0.3])
    uniform = make(
        n_layers=3, stochastic_depth_drop_prob=0.3, stochastic_depth_mode="uniform", stochastic_depth_start_layer=2
    )
    assert uniform.drop_probs == [0, 0, 0.3]
    encoder = make(n_layers=2, stochastic_depth_drop_prob=0.999).train()
    torch.manual_seed(0)
    encoder(torch.randn(1, 6, 40), torch.tensor([40]))[0].sum().backward()
    assert all(weight.grad is not None for weight in encoder.parameters())
    assert not encoder.layers[1].feed_forward1.linear1.weight.grad.any()  # left out, and yet it has a gradient


def test_every_weight_learns():
    encoder = make(feat_out=5, reduction="striding", reduction_position=0, reduction_factor=2).train()
    encoded, _ = encoder(torch.randn(2, 6, 60), torch.tensor([60, 30]))
    encoded.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in encoder.parameters())
    assert encoder.stride == 8


def test_group_norm_is_torchs_where_nothing_is_padded():
    x, norm = torch.randn(2, 6, 7), MaskedGroupNorm(3, 6)
    torch.nn.init.normal_(norm.weight)
    expected = torch.nn.functional.group_norm(x, 3, norm.weight, norm.bias)
    torch.testing.assert_close(norm(x, torch.ones(2, 7, dtype=torch.bool)), expected)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"self_attention_model": "relpos"}, "self_attention_model 'relpos'"),
        ({"self_attention_model": "rel_pos_local_attn"}, "no reach for local attention"),
        ({"att_context_style": "chunked"}, "att_context_style 'chunked'"),
        ({"att_context_size": [70]}, r"att_context_size \[70\]"),
        ({"att_context_size": [70, -2]}, r"\[70, -2\]"),
        ({"att_context_size": [7, 3], "att_context_style": "chunked_limited"}, "no multiple of a chunk of 4"),
        ({"att_context_size": [[4, 1], [8, 3]], "att_context_probs": [0.5]}, "must be 2 probabilities"),
        ({"conv_context_size": "causel"}, "'causel' does not fit a kernel of 5"),
        ({"conv_context_size": [5, 0]}, r"\[5, 0\] does not fit"),
        ({"conv_kernel_size": 4}, "kernel of 4"),
        ({"conv_norm_type": "batchnorm"}, "conv_norm_type 'batchnorm'"),
        ({"conv_norm_type": "group_norm3"}, "group_norm3"),
        ({"reduction": "pooling", "reduction_position": 2}, "reduction_position 2"),
        ({"stochastic_depth_mode": "square"}, "'square'"),
        ({"stochastic_depth_drop_prob": 1.0}, r"\[0, 1\)"),
    ],
)
def test_nonsense_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        make(**options)
