from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_asr.tokenizers import CharTokenizer
from nemo_core.config import Trust, instantiate
from nemo_core.errors import ConfigError, DataError


@given(text=st.text(alphabet=" abcé"))
def test_decoding_undoes_encoding(text):
    tokenizer = CharTokenizer(" abcé")
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_labels_as_a_list_or_a_string():
    assert CharTokenizer([" ", "a"]).vocabulary == CharTokenizer(" a").vocabulary == [" ", "a"]
    assert len(CharTokenizer(" a")) == 2


def test_unknown_characters():
    with pytest.raises(DataError, match="'x' in 'axa'"):
        CharTokenizer("a").encode("axa")
    assert CharTokenizer("a", unknown="skip").encode("axa") == [0, 0]
    assert CharTokenizer("a", lowercase=True).encode("A") == [0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": ""}, "no labels"),
        ({"labels": ["ab"]}, "'ab'"),
        ({"labels": "aba"}, "'a'.*twice"),
        ({"labels": "a", "unknown": "ignore"}, "ignore"),
    ],
)
def test_nonsense_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        CharTokenizer(**options)


def test_a_tokenizer_is_rebuilt_from_its_configuration():
    config = CharTokenizer(" ab", lowercase=True).to_config()
    assert config == {"_target_": "asr.CharTokenizer", "labels": " ab", "lowercase": True}
    assert instantiate(config, trust=Trust.archive()).encode("BA") == [2, 1]
