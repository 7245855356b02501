from __future__ import annotations

import importlib.util
import json

import pytest

from nemo_core.cli.main import run

CHINESE = importlib.util.find_spec("jieba") is not None and importlib.util.find_spec("pypinyin") is not None


def test_texts_are_written_in_words(capsys):
    assert run(["tts", "normalize", "It cost $3.50.", "5 km"]) == 0
    assert capsys.readouterr().out == "It cost three dollars and fifty cents.\nfive kilometers\n"
    assert run(["tts", "normalize", "--lang", "zh", "50%"]) == 0
    assert capsys.readouterr().out == "百分之五十\n"


def test_what_cannot_be_said_is_named(capsys):
    assert run(["tts", "normalize", "hi 👋"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "hi\n"
    assert "WAVING HAND SIGN" in shown.err
    assert run(["tts", "normalize", "hi 👋", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found == {
        "text": "hi 👋",
        "normalized": "hi",
        "dropped": [{"character": "👋", "position": 3, "name": "WAVING HAND SIGN"}],
    }


def test_texts_are_shown_as_sounds(capsys):
    assert run(["tts", "phonemes", "Hello, 2 worlds"]) == 0
    assert capsys.readouterr().out == "HH AH0 L OW1 , T UW1 W ER1 L D Z\n"
    assert run(["tts", "phonemes", "Hello", "--ipa"]) == 0
    assert capsys.readouterr().out == "həlˈoʊ\n"
    assert run(["tts", "phonemes", "Dr. No", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["normalized"], found["notation"]) == ("Doctor No", "arpabet")
    assert found["phonemes"][-2:] == ["N", "OW1"]


@pytest.mark.skipif(not CHINESE, reason="nemo-tts[zh] is not installed")
def test_mandarin_is_shown_as_pinyin(capsys):
    assert run(["tts", "phonemes", "--lang", "zh", "2个OK"]) == 0
    assert capsys.readouterr().out == "liang3 ge4 OW1 K EY1\n"


@pytest.mark.skipif(CHINESE, reason="nemo-tts[zh] is installed")
def test_mandarin_needs_an_extra(capsys):
    assert run(["tts", "phonemes", "--lang", "zh", "你好"]) == 2
    assert "nemo-tts[zh]" in capsys.readouterr().err


def test_an_unknown_language_is_refused(capsys):
    assert run(["tts", "normalize", "a", "--lang", "xx"]) == 2


def test_letters_are_learned_and_measured(tmp_path, capsys):
    dictionary = tmp_path / "words.dict"
    sounds = {"a": "AA1", "b": "B", "d": "D", "k": "K", "m": "M", "o": "OW0", "s": "S", "t": "T"}
    words = [a + b + c + d for a in "bdkmst" for b in "ao" for c in "bdkmst" for d in "ao"]
    dictionary.write_text("".join(f"{word} {' '.join(sounds[letter] for letter in word)}\n" for word in words))
    model = tmp_path / "new" / "model.bin"
    assert (
        run(["tts", "g2p", "train", str(dictionary), "-o", str(model), "--order", "3", "--size", "1000", "--json"]) == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert report["bytes"] == model.stat().st_size
    assert report["words"] + report["development"]["words"] + report["test"]["words"] == len(words)
    assert report["test"]["word_errors"] == 0
    assert run(["tts", "g2p", "train", str(dictionary), "-o", str(model)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    options = ["-o", str(model), "--overwrite", "--order", "2", "--size", "1000"]
    assert run(["tts", "g2p", "train", str(dictionary), *options]) == 0
    assert "words wrong" in capsys.readouterr().out


def test_a_dictionary_that_is_not_there(tmp_path, capsys):
    assert run(["tts", "g2p", "train", str(tmp_path / "none"), "-o", str(tmp_path / "model.bin")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "model.bin").exists()
