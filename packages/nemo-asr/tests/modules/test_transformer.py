"""Transformer encoder, decoder and output layer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.losses import SmoothedCrossEntropyLoss
from nemo_asr.modules import TokenClassifier, TransformerDecoder, TransformerEncoder
from nemo_core.errors import ConfigError, DataError

SETTINGS = settings(max_examples=6, deadline=None)
VARIANTS = [
    {"pre_ln": True},
    {"pre_ln": True, "pre_ln_final_layer_norm": False, "hidden_act": "gelu"},
    {"pre_ln": False, "learn_positional_encodings": True},
]


def make_decoder(**options):
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_layers": 2, "inner_size": 32, "num_attention_heads": 4}
    return TransformerDecoder(12, **size, max_sequence_length=20, **options).eval()


def make_encoder(**options):
    torch.manual_seed(0)
    return TransformerEncoder(2, hidden_size=16, inner_size=32, num_attention_heads=4, **options).eval()


@pytest.mark.parametrize("options", VARIANTS)
@SETTINGS
@given(cuts=st.lists(st.integers(1, 4), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_reading_on_gives_what_reading_all_gives(options, cuts, seed):
    decoder, generator = make_decoder(**options), torch.Generator().manual_seed(seed)
    tokens = torch.randint(12, (2, sum(cuts)), generator=generator)
    encoded, length = torch.randn(2, 16, 7, generator=generator), torch.tensor([7, 4])
    whole = decoder(tokens=tokens, encoded=encoded, length=length)
    state, parts = decoder.start(encoded, length), []
    for part in tokens.split(cuts, dim=1):
        hidden, state = decoder.step(part, state)
        parts.append(hidden)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-4)
    assert state.position == tokens.shape[1]


@SETTINGS
@given(frames=st.integers(1, 6), tokens=st.integers(1, 6), more=st.integers(0, 4), seed=st.integers(0, 99))
def test_padding_of_frames_and_tokens_changes_nothing(frames, tokens, more, seed):
    decoder, generator = make_decoder(pre_ln=True), torch.Generator().manual_seed(seed)
    text = torch.randint(12, (1, tokens), generator=generator)
    encoded = torch.randn(1, 16, frames, generator=generator)
    alone = decoder(tokens=text, encoded=encoded, length=torch.tensor([frames]))
    padded = decoder(
        tokens=torch.nn.functional.pad(text, (0, more), value=3),
        encoded=torch.nn.functional.pad(encoded, (0, more), value=9.0),
        length=torch.tensor([frames]),
    )
    torch.testing.assert_close(padded[:, :tokens], alone, atol=1e-5, rtol=1e-4)


def test_the_state_of_some_rows_is_that_of_these_alone():
    decoder = make_decoder(pre_ln=True)
    tokens, encoded, length = torch.randint(12, (3, 4)), torch.randn(3, 16, 5), torch.tensor([5, 3, 4])
    _, state = decoder.step(tokens[:, :3], decoder.start(encoded, length))
    some, _ = decoder.step(tokens[[2, 0], 3:], state.select(torch.tensor([2, 0])))
    whole = decoder(tokens=tokens, encoded=encoded, length=length)
    torch.testing.assert_close(some[:, 0], whole[[2, 0], 3], atol=1e-5, rtol=1e-4)


def test_too_many_tokens_are_refused():
    decoder = make_decoder()
    with pytest.raises(DataError, match="21 tokens are more than the 20"):
        decoder(tokens=torch.zeros(1, 21, dtype=torch.long), encoded=torch.randn(1, 16, 5), length=torch.tensor([5]))


@pytest.mark.parametrize("options", [{"num_attention_heads": 3}, {"hidden_act": "tanh"}])
def test_what_cannot_be_made_is_refused(options):
    with pytest.raises(ConfigError, match="transformer"):
        TransformerDecoder(12, **{"hidden_size": 16, "num_layers": 1, "inner_size": 32, **options})


def test_no_frames_at_all_give_numbers():
    hidden = make_decoder(pre_ln=True)(
        tokens=torch.tensor([[1, 2]]), encoded=torch.randn(1, 16, 3), length=torch.tensor([0])
    )
    assert hidden.isfinite().all()


@pytest.mark.parametrize("options", [{"pre_ln": True}, {"pre_ln": False}, {"pre_ln": True, "mask_future": True}])
@SETTINGS
@given(frames=st.integers(1, 6), more=st.integers(0, 4))
def test_the_encoder_does_not_see_padding(options, frames, more):
    encoder, encoded = make_encoder(**options), torch.randn(1, 16, frames)
    alone = encoder(encoded=encoded, length=torch.tensor([frames]))
    padded = encoder(encoded=torch.nn.functional.pad(encoded, (0, more), value=5.0), length=torch.tensor([frames]))
    torch.testing.assert_close(padded[:, :, :frames], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("mask_future", [False, True])
def test_only_with_a_mask_the_future_is_not_seen(mask_future):
    encoder, x, length = make_encoder(mask_future=mask_future), torch.randn(1, 16, 6), torch.tensor([6])
    changed = x.clone()
    changed[:, :, 4:] = 0.0
    same = torch.allclose(encoder(encoded=x, length=length)[..., :4], encoder(encoded=changed, length=length)[..., :4])
    assert same == mask_future


def test_tied_weights_are_one_parameter():
    decoder, classifier = make_decoder(), TokenClassifier(16, 12)
    classifier.tie(decoder.embedding.token_embedding)
    both = torch.nn.ModuleList([decoder, classifier])
    assert sum(weight.numel() for weight in both.parameters()) == decoder.num_weights + 12


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_torch(smoothing):
    log_probs = torch.randn(3, 5, 7).log_softmax(dim=-1).requires_grad_()
    labels, mask = torch.randint(7, (3, 5)), torch.rand(3, 5) < 0.6
    loss = SmoothedCrossEntropyLoss(smoothing)(log_probs=log_probs, labels=labels, mask=mask)
    # torch gives a share of the smoothing to the right class too
    expected = torch.nn.functional.cross_entropy(log_probs[mask], labels[mask], label_smoothing=smoothing * 7 / 6)
    torch.testing.assert_close(loss, expected)


def test_no_tokens_cost_nothing():
    loss = SmoothedCrossEntropyLoss()
    labels = torch.zeros(1, 2, dtype=torch.long)
    assert loss(log_probs=torch.randn(1, 2, 3).log_softmax(-1), labels=labels, mask=labels.bool()) == 0
    with pytest.raises(ConfigError, match="label_smoothing"):
        SmoothedCrossEntropyLoss(1.0)
