from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from nemo_core.errors import ConfigError
from nemo_tts.modules import Aligner, FFTransformerDecoder, FFTransformerEncoder, TemporalPredictor
from nemo_tts.modules.regulation import average_features, regulate_length, scale_durations
from nemo_tts.modules.time_conv import TimeConv

SIZES = {"n_layer": 2, "n_head": 2, "d_model": 8, "d_head": 4, "d_inner": 12}


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 5),
    st.sampled_from([1, 3, 5, 7]),
    st.booleans(),
)
def test_the_product_over_windows_is_a_convolution(batch, steps, channels, out, kernel, transposed):
    conv = TimeConv(channels, out, kernel).double()
    x = (
        torch.randn(batch, channels, steps).double().transpose(1, 2)
        if transposed
        else torch.randn(batch, steps, channels).double()
    )
    x = x.requires_grad_()
    weight, bias = (each.detach().clone().requires_grad_() for each in (conv.weight, conv.bias))
    y = x.detach().clone().requires_grad_()
    ours = conv(x)
    theirs = F.conv1d(y.transpose(1, 2), weight, bias, padding=kernel // 2).transpose(1, 2)
    torch.testing.assert_close(ours, theirs)
    given = torch.randn_like(ours)
    ours.backward(given)
    theirs.backward(given)
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(conv.weight.grad, weight.grad)
    torch.testing.assert_close(conv.bias.grad, bias.grad)


def test_a_convolutions_weights_are_saved_and_copied():
    conv = TimeConv(3, 4, 3)
    x = torch.randn(1, 5, 3)
    again = TimeConv(3, 4, 3)
    again.load_state_dict({name: value.contiguous() for name, value in conv.state_dict().items()})
    assert torch.equal(conv(x), again(x))
    assert torch.equal(conv(x), copy.deepcopy(conv)(x))


@pytest.mark.parametrize("pre_lnorm", [False, True])
@pytest.mark.parametrize("condition_types", [[], ["add"], ["concat"], ["layernorm"], ["add", "concat", "layernorm"]])
def test_padding_and_company_do_not_change_what_is_encoded(pre_lnorm, condition_types):
    torch.manual_seed(0)
    encoder = FFTransformerEncoder(n_embed=9, pre_lnorm=pre_lnorm, condition_types=condition_types, **SIZES).eval()
    for weight in encoder.parameters():
        torch.nn.init.normal_(weight, 0.0, 0.5)
    tokens = torch.randint(1, 9, (3, 11))
    length = torch.tensor([11, 5, 1])
    condition = torch.randn(3, 1, 8) if condition_types else None
    together = encoder(tokens=tokens, length=length, condition=condition)
    for row, count in enumerate(length.tolist()):
        own = None if condition is None else condition[row : row + 1]
        alone = encoder(tokens=tokens[row : row + 1, :count], length=length[row : row + 1], condition=own)
        torch.testing.assert_close(together[row, :count], alone[0], rtol=1e-4, atol=1e-4)
        assert (together[row, count:] == 0).all()


def test_padding_and_company_do_not_change_predictions():
    predictor = TemporalPredictor(8, 6, kernel_size=5, n_layers=3).eval()
    encoded, length = torch.randn(3, 11, 8), torch.tensor([11, 5, 1])
    together = predictor(encoded=encoded, length=length)
    for row, count in enumerate(length.tolist()):
        alone = predictor(encoded=encoded[row : row + 1, :count], length=length[row : row + 1])
        torch.testing.assert_close(together[row, :count], alone[0], rtol=1e-4, atol=1e-5)
        assert (together[row, count:] == 0).all()


@pytest.mark.parametrize("dist_type", ["l2", "cosine"])
@pytest.mark.parametrize("prior", [False, True])
def test_padding_and_company_do_not_change_alignments(dist_type, prior):
    aligner = Aligner(n_mel_channels=6, n_text_channels=8, n_att_channels=5, dist_type=dist_type)
    spectrogram, embedded = torch.randn(2, 6, 13), torch.randn(2, 7, 8)
    frames, length = torch.tensor([13, 8]), torch.tensor([7, 4])
    log_prior = torch.randn(2, 13, 7).log_softmax(2) if prior else None
    together = aligner(spectrogram, embedded, frames, length, log_prior)
    alone = aligner(
        spectrogram[1:, :, :8],
        embedded[1:, :4],
        frames[1:],
        length[1:],
        None if log_prior is None else log_prior[1:, :8, :4],
    )
    torch.testing.assert_close(together[1, :8, :4], alone[0], rtol=1e-4, atol=1e-5)
    assert (together[1, :, 4:].softmax(1) >= 0).all()
    assert (together[1, :8].softmax(1)[:, 4:] == 0).all()


def test_the_distance_of_an_aligner_is_euclidean():
    aligner = Aligner(n_mel_channels=6, n_text_channels=8, n_att_channels=5, temperature=1.0)
    spectrogram, embedded = torch.randn(1, 6, 9), torch.randn(1, 4, 8)
    scores = aligner(spectrogram, embedded, torch.tensor([9]), torch.tensor([4]))
    queries, keys = aligner.query_proj(spectrogram), aligner.key_proj(embedded.transpose(1, 2))
    wanted = -(queries.unsqueeze(3) - keys.unsqueeze(2)).square().sum(1)
    torch.testing.assert_close(scores, wanted, rtol=1e-4, atol=1e-4)


def test_a_condition_that_lacks_is_an_error():
    decoder = FFTransformerDecoder(condition_types=["add"], **SIZES)
    with pytest.raises(ConfigError, match="speaker"):
        decoder(encoded=torch.randn(1, 3, 8), length=torch.tensor([3]))
    with pytest.raises(ConfigError, match="multiply"):
        FFTransformerDecoder(condition_types=["multiply"], **SIZES)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(0, 100))
def test_repeating_and_averaging_are_inverses(counts, seed):
    counts = [*counts, 1]
    frames = torch.tensor([counts])
    values = torch.randn(1, len(counts), 1, generator=torch.Generator().manual_seed(seed)) + 10
    repeated, length = regulate_length(values, frames)
    assert length.item() == sum(counts)
    assert torch.equal(repeated[0, :, 0], values[0, :, 0].repeat_interleave(frames[0]))
    averaged = average_features(repeated[:, :, 0], frames)
    torch.testing.assert_close(averaged, values[:, :, 0] * (frames > 0), rtol=1e-5, atol=1e-5)


def test_pace_is_one_for_all_or_one_for_each_token():
    durations = torch.tensor([[4.0, 3.0, 0.4]])
    assert scale_durations(durations, 2.0).tolist() == [[2, 2, 0]]
    assert scale_durations(durations, torch.tensor([[1.0, 3.0, 0.5]])).tolist() == [[4, 1, 1]]
