"""Published sizes have the published numbers of weights; configurations say what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from nemo_core.errors import ConfigError
from nemo_llm.models.bert import BertConfig
from nemo_llm.models.families.encoders import bert, t5
from nemo_llm.models.t5 import T5Config

WEIGHTS = {
    "small": 60_506_624,
    "base": 222_903_552,
    "large": 737_668_096,
    "3b": 2_851_598_336,
    "11b": 11_307_321_344,
    "1.1-small": 76_961_152,
    "1.1-base": 247_577_856,
    "1.1-large": 783_150_080,
    "1.1-xl": 2_849_757_184,
    "1.1-xxl": 11_135_332_352,
}


@pytest.mark.parametrize("size", WEIGHTS)
def test_t5_has_as_many_weights_as_published(size: str) -> None:
    assert t5(size).num_parameters == WEIGHTS[size]


def test_bert_has_as_many_weights_as_published() -> None:
    assert (bert("base").num_parameters, bert("large").num_parameters) == (109_514_298, 335_174_458)
    assert bert("base", next_sentence=True).num_parameters == 110_106_428


@pytest.mark.parametrize("config", [bert("tiny"), bert(dropout=0.0, token_types=0), t5("3b"), t5(num_decoder_layers=3)])
def test_configurations_are_plain_values(config: Any) -> None:
    assert type(config).from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: bert("huge"), "BERT has no size 'huge'"),
        (lambda: t5("1.1-bas"), "did you mean 1.1-base"),
        (lambda: bert(hiden_size=3), "hiden_size is not a part of a BertConfig"),
        (lambda: BertConfig(hidden_size=10, num_heads=3), "hidden_size 10 is no multiple of num_heads 3"),
        (lambda: T5Config(hidden_size=10, num_heads=3), "give head_dim"),
        (lambda: T5Config(buckets=6), "buckets is a multiple of 4"),
        (lambda: T5Config(num_layers=0), "num_layers is 0"),
    ],
)
def test_what_cannot_be(make: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make()
