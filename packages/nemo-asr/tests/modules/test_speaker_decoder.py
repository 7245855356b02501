from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.modules.speaker_decoder import AttentivePooling, SpeakerDecoder, StatisticsPooling
from nemo_core.errors import ConfigError


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    extra=st.integers(0, 9),
    mode=st.sampled_from(["xvector", "tap", "attention"]),
    angular=st.booleans(),
)
def test_logits_and_embeddings_do_not_depend_on_padding_and_company(lengths, extra, mode, angular):
    torch.manual_seed(sum(lengths))
    decoder = SpeakerDecoder(4, 3, [6, 5], mode, angular=angular, attention_channels=7).eval()
    encoded = torch.randn(len(lengths), 4, max(lengths) + extra)  # padding is garbage
    with torch.no_grad():
        logits, embedding = decoder(encoded, torch.tensor(lengths))
        for index, length in enumerate(lengths):
            alone = decoder(encoded[index : index + 1, :, :length], torch.tensor([length]))
            torch.testing.assert_close(logits[index : index + 1], alone[0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(embedding[index : index + 1], alone[1], rtol=1e-4, atol=1e-5)


def test_statistics_are_mean_and_deviation():
    x = torch.randn(2, 3, 20, dtype=torch.float64)
    pooled = StatisticsPooling(3, deviation=True)(x, torch.tensor([20, 7]))
    torch.testing.assert_close(pooled[0], torch.cat([x[0].mean(dim=1), x[0].std(dim=1)]))
    torch.testing.assert_close(pooled[1], torch.cat([x[1, :, :7].mean(dim=1), x[1, :, :7].std(dim=1)]))


def test_attention_that_is_the_same_everywhere_gives_plain_statistics():
    pool = AttentivePooling(3).eval()
    torch.nn.init.zeros_(pool.attention_layer[2].weight)
    x = torch.randn(1, 3, 20)
    pooled = pool(x, torch.tensor([20]))
    torch.testing.assert_close(pooled[0], torch.cat([x[0].mean(dim=1), x[0].std(dim=1, correction=0)]))


@pytest.mark.parametrize("mode", ["xvector", "tap", "attention"])
def test_an_utterance_without_frames_gives_finite_numbers_and_gradients(mode):
    decoder = SpeakerDecoder(4, 3, 5, mode)
    encoded = torch.zeros(2, 4, 6, requires_grad=True)
    logits, _ = decoder(encoded, torch.tensor([0, 1]))
    logits.sum().backward()
    assert logits.isfinite().all()
    assert encoded.grad.isfinite().all()


def test_angular_logits_are_cosines():
    decoder = SpeakerDecoder(4, 3, 5, "attention", angular=True).eval()
    logits, embedding = decoder(torch.randn(2, 4, 9), torch.tensor([9, 5]))
    expected = torch.cosine_similarity(embedding.unsqueeze(1), decoder.final.weight.unsqueeze(0), dim=2)
    torch.testing.assert_close(logits, expected)
    assert decoder.final.bias is None


def test_the_embedding_is_that_of_the_last_layer_before_its_activation():
    decoder = SpeakerDecoder(4, 3, [6, 5], "tap").eval()
    _, embedding = decoder(torch.randn(8, 4, 9), torch.full((8,), 9))
    assert embedding.shape == (8, 5) == (8, decoder.embedding_size)
    assert (embedding < 0).any()


def test_bad_options_are_refused():
    for options in ({"num_classes": 0}, {"emb_sizes": []}, {"pool_mode": "max"}, {"emb_sizes": 0}):
        with pytest.raises(ConfigError):
            SpeakerDecoder(4, **{"num_classes": 3, **options})
