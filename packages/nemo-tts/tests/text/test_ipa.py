"""Dictionaries in IPA: words, letters, tokens, and NVIDIA's configurations with them."""

from __future__ import annotations

import pickle
from pathlib import Path
from random import Random

import pytest

from nemo_core.config import Trust, instantiate
from nemo_core.errors import ConfigError
from nemo_tts.text import IpaG2p
from nemo_tts.tokenizers import IPATokenizer, nvidia_tokenizer_config

WORDS = """;;; comment
HALLO  haˈloː
WELT  v ɛ l t
WEG  veːk
WEG(2)  vɛk
CAT  kæt
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "ipa.dict"
    target.write_text(WORDS, encoding="utf-8")
    return target


def test_words_are_looked_up(path: Path) -> None:
    g2p = IpaG2p(path)
    assert "".join(g2p("Hallo, Welt! Weg? Größe")) == "haˈloː, vɛlt! WEG? GRÖSSE"
    assert "".join(g2p("hallo-welt cat's Welt's")) == "haˈloː-vɛlt kæts vɛlts"
    assert "".join(IpaG2p(path, ignore_ambiguous_words=False)("Weg")) == "veːk"
    assert "".join(IpaG2p(path, use_stresses=False)("hallo")) == "haloː"
    assert IpaG2p(path, grapheme_case="lower", grapheme_prefix="#")("neu") == ["#n", "#e", "#u"]
    assert "".join(IpaG2p(path, locale="de-DE")("cat's")) == "CAT'S"


def test_letters_are_symbols_where_they_can_come_out(path: Path) -> None:
    sounds = set("haˈloːvɛlteːkæ")
    assert set(IpaG2p(path).symbols) == sounds
    mixed = IpaG2p(path, phoneme_probability=0.5)
    assert set(mixed.symbols) == sounds | set("HALOWETGC")
    drawn = {"".join(mixed("welt", Random(seed))) for seed in range(20)}
    assert drawn == {"vɛlt", "WELT"}
    tokenizer = IPATokenizer(mixed, locale="de-DE", punct=False)
    assert tokenizer.tokens[: len(mixed.symbols)] == sorted(mixed.symbols)


def test_heteronyms_stay_letters(path: Path, tmp_path: Path) -> None:
    (tmp_path / "het").write_text("cat\n", encoding="utf-8")
    g2p = IpaG2p(path, heteronyms=tmp_path / "het")
    assert "".join(g2p("cat")) == "CAT"
    assert g2p.artifacts() == {"phoneme_dict": path.read_bytes(), "heteronyms": b"cat\n"}
    assert pickle.loads(pickle.dumps(g2p))("welt") == list("vɛlt")


def test_an_archive_of_nvidias_takes_its_tokens_from_its_dictionary(path: Path) -> None:
    tokens = "nemo.collections.common.tokenizers.text_to_speech.tts_tokenizers.IPATokenizer"
    node = {
        "_target_": tokens,
        "punct": True,
        "apostrophe": True,
        "pad_with_space": True,
        "locale": "de-DE",
        "g2p": {
            "_target_": "nemo.collections.tts.g2p.models.i18n_ipa.IpaG2p",
            "phoneme_dict": "nemo:0123_ipa.dict",
            "locale": "de-DE",
            "use_chars": True,
            "grapheme_prefix": "#",
            "grapheme_case": "mixed",
        },
    }
    config = nvidia_tokenizer_config(node, lambda name: path)
    tokenizer = instantiate(config, trust=Trust.archive())
    assert tokenizer.pieces(tokenizer.encode("Hallo")) == [" ", *"haˈloː", " "]
    assert "#H" in tokenizer.tokens
    assert tokenizer.tokens[:-3] == sorted(tokenizer.tokens[:-3])


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b"HALLO\n", {}, "line 1: 'HALLO' has no sounds"),
        (b";;;\n", {}, "has no words"),
        (b"\xff\xfe", {}, "not UTF-8"),
        (None, {}, "cannot be read"),
        (b"A a\n", {"grapheme_case": "title"}, "'title'"),
        (b"A a\n", {"phoneme_probability": 2.0}, "between 0 and 1"),
    ],
)
def test_nonsense_is_refused(content: bytes | None, options: dict[str, object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.dict"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        IpaG2p(path, **options)
