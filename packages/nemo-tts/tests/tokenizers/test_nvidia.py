"""Configurations and archives of NVIDIA NeMo."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
import yaml

from nemo_core.config import Trust, instantiate
from nemo_core.errors import ConfigError
from nemo_tts.tokenizers import nvidia_tokenizer_config

TARGET = "nemo.collections.common.tokenizers.text_to_speech.tts_tokenizers."


def test_an_archive_has_the_same_tokens(nvidia):
    folder = nvidia / "fastpitch"
    with tarfile.open(folder / "fastpitch.nemo") as archive:
        config = yaml.safe_load(archive.extractfile("./model_config.yaml"))
    expected = json.loads((folder / "expected.json").read_text())
    shapes = json.loads((folder / "state_dict_shapes.json").read_text())
    tokenizer = instantiate(nvidia_tokenizer_config(config["text_tokenizer"]), trust=Trust.archive())
    assert tokenizer.encode(expected["text"]) == expected["tokens"]
    assert len(tokenizer) == shapes["fastpitch.encoder.word_emb.weight"][0]


def test_its_configuration_is_understood_as_it_stands(nvidia):
    with tarfile.open(nvidia / "fastpitch" / "fastpitch.nemo") as archive:
        config = yaml.safe_load(archive.extractfile("./model_config.yaml"))
    tokenizer = instantiate(config["text_tokenizer"], trust=Trust.archive())
    assert type(tokenizer).__name__ == "EnglishCharsTokenizer"


def test_configurations(tmp_path):
    (tmp_path / "words").write_text("nemo  N IY1 M OW0\n")
    node = {
        "_target_": TARGET + "EnglishPhonemesTokenizer",
        "punct": True,
        "stresses": True,
        "chars": True,
        "apostrophe": True,
        "pad_with_space": True,
        "g2p": {
            "_target_": "nemo.collections.tts.g2p.models.en_us_arpabet.EnglishG2p",
            "phoneme_dict": "nemo:words",
            "heteronyms": "nemo:heteronyms",
            "phoneme_probability": 0.5,
        },
    }
    config = nvidia_tokenizer_config(node, lambda name: tmp_path / Path(name.removeprefix("nemo:")))
    assert config["unknown"] == "skip"
    tokenizer = instantiate(config, trust=Trust.user())
    assert tokenizer.pieces(tokenizer.encode("Nemo")) == [" ", "N", "IY1", "M", "OW0", " "]
    # FastPitch's usual vocabulary: a blank, 24 + 45 sounds, letters, an apostrophe, marks, pad, oov
    assert len(tokenizer) == 114
    spanish = nvidia_tokenizer_config({"_target_": TARGET + "SpanishCharsTokenizer", "punct": True})
    assert spanish["_target_"] == "tts.SpanishCharsTokenizer"
    ipa = {"_target_": TARGET + "IPATokenizer", "fixed_vocab": ["a"], "g2p": {"phoneme_probability": 0.8}}
    assert nvidia_tokenizer_config(ipa)["g2p"] == {
        "_target_": "tts.EnglishG2p",
        "notation": "ipa",
        "phoneme_probability": 0.8,
    }
    chinese = {"_target_": TARGET + "ChinesePhonemesTokenizer", "g2p": {"phoneme_prefix": None, "tone_prefix": "#"}}
    assert nvidia_tokenizer_config(chinese)["g2p"] == {
        "_target_": "tts.ChineseG2p",
        "phoneme_prefix": "",
        "tone_prefix": "#",
    }
    normalizer = {"_target_": "tts.EnglishNormalizer"}
    assert nvidia_tokenizer_config(node, Path, normalizer)["normalizer"] == normalizer


@pytest.mark.parametrize(
    ("node", "said"),
    [({"_target_": TARGET + "JapanesePhonemeTokenizer"}, "not known"), ({}, "not known"),
     ({"_target_": TARGET + "IPATokenizer", "g2p": {}}, "dictionary in IPA")],
)  # fmt: skip
def test_what_is_not_understood_is_said(node, said):
    with pytest.raises(ConfigError, match=said):
        nvidia_tokenizer_config(node)
