from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_asr.modules.classifier import ConvClassifier
from nemo_core.errors import ConfigError


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    extra=st.integers(0, 9),
    pooling=st.sampled_from(["avg", "max"]),
)
def test_logits_do_not_depend_on_padding_and_company(lengths, extra, pooling):
    torch.manual_seed(sum(lengths))
    classifier = ConvClassifier(4, 3, pooling_type=pooling)
    encoded = torch.randn(len(lengths), 4, max(lengths) + extra)
    together = classifier(encoded, torch.tensor(lengths))
    for index, length in enumerate(lengths):
        alone = classifier(encoded[index : index + 1, :, :length], torch.tensor([length]))
        torch.testing.assert_close(together[index : index + 1], alone)


def test_pooling():
    encoded = torch.tensor([[[1.0, 2.0, 9.0], [5.0, 3.0, 100.0]]])
    for pooling, padding, expected in (
        ("avg", False, [1.5, 4.0]),
        ("max", False, [2.0, 5.0]),
        ("avg", True, [4.0, 36.0]),
        ("max", True, [9.0, 100.0]),
    ):
        classifier = ConvClassifier(2, 2, pooling_type=pooling, pool_padding=padding)
        classifier.decoder_layers[0].weight.data = torch.eye(2)
        classifier.decoder_layers[0].bias.data.zero_()
        assert classifier(encoded, torch.tensor([2])).tolist() == [expected]


def test_an_utterance_without_frames_gives_finite_logits():
    for pooling in ("avg", "max"):
        assert ConvClassifier(2, 2, pooling_type=pooling)(torch.zeros(1, 2, 3), torch.tensor([0])).isfinite().all()


def test_bad_options_are_refused():
    for options in ({"num_classes": 0}, {"num_classes": 2, "pooling_type": "sum"}):
        with pytest.raises(ConfigError):
            ConvClassifier(2, **options)
