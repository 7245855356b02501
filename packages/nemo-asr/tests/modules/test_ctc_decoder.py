from __future__ import annotations

import pytest
import torch

from nemo_asr.modules import CTCDecoder
from nemo_core.errors import ConfigError


def test_log_probabilities_of_tokens_and_blank():
    decoder = CTCDecoder(8, vocabulary=["a", "b"])
    log_probs = decoder(torch.randn(2, 8, 5))
    assert log_probs.shape == (2, 5, 3)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2, 5))
    assert (decoder.vocabulary_size, decoder.blank) == (2, 2)
    assert list(decoder.state_dict()) == ["decoder_layers.0.weight", "decoder_layers.0.bias"]


@pytest.mark.parametrize(
    "options",
    [{"vocabulary": 4}, {"vocabulary": "abcd"}, {"num_classes": 4}, {"vocabulary": "abcd", "num_classes": -1}],
)
def test_ways_to_say_how_many_tokens_there_are(options):
    assert CTCDecoder(8, **options).vocabulary_size == 4


@pytest.mark.parametrize("options", [{}, {"vocabulary": []}, {"vocabulary": "abc", "num_classes": 4}])
def test_unclear_sizes_are_refused(options):
    with pytest.raises(ConfigError, match="decoder: "):
        CTCDecoder(8, **options)
