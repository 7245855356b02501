from __future__ import annotations

import lzma
from dataclasses import replace

import pytest

from nemo_core.errors import DataError
from nemo_tts.text.mandarin.polyphones import PolyphoneModel, context_features
from nemo_tts.text.mandarin.words import Word


def test_features_say_what_is_around():
    bank = Word("银行", 1, "n", ("yin2", "hang2"), known=(True, True))
    features = context_features("在银行里", bank, 1)
    assert {"", "r=hang2", "k=hang2", "a=银", "b=里", "c=在", "d=^", "w=银行", "t=n", "p=last"} <= set(features)
    assert "m=hang2" in context_features("在银行里", replace(bank, known=()), 1)
    alone = context_features("还书", Word("还", 0, "d", ("hai2",), joined="huan2"), 0)
    assert {"p=single", "s=hai2", "j=huan2"} <= set(alone)


def test_the_weights_decide_and_a_file_keeps_them():
    model = PolyphoneModel({"行": ["hang2", "xing2"]}, {"行": {"a=银": [2.0, -2.0], "": [0.0, 0.5], "x": [0.001, 0.0]}})
    for each in (model, PolyphoneModel.from_bytes(model.to_bytes())):
        assert each.choose("行", ["", "a=银"]) == "hang2"
        assert each.choose("行", ["", "a=步"]) == "xing2"
        assert "行" in each
        assert "中" not in each
    assert "x" not in PolyphoneModel.from_bytes(model.to_bytes()).weights["行"]


def test_a_phrase_of_the_dictionary_may_say_what_was_never_met():
    model = PolyphoneModel({"觉": ["jue2"]}, {"觉": {}})
    asleep = Word("睡觉", 0, "v", ("shui4", "jiao4"), known=(True, True))
    assert model.read("睡觉", asleep, 1) == "jiao4"
    assert model.read("睡觉", replace(asleep, known=()), 1) == "jue2"
    assert model.read("睡觉", asleep, 0) == "shui4"


@pytest.mark.parametrize("content", [b"", b"nemo polyphones 1\n", b"nemo polyphones 1\n" + lzma.compress(b"[1]")])
def test_damaged_files_are_refused(content):
    with pytest.raises(DataError, match="no model of polyphones"):
        PolyphoneModel.from_bytes(content)


def test_learning(dictionaries, tmp_path):
    pytest.importorskip("pypinyin", reason="nemo-tts[zh] is not installed")
    pytest.importorskip("jieba", reason="nemo-tts[zh] is not installed")
    from nemo_tts.text.mandarin.polyphones_training import marked_word, read_marked, train

    data = dictionaries / "g2pM-polyphones"
    learned = list(read_marked(data / "dev.sent", data / "dev.lb"))[:300]
    model = train(learned, rounds=5)
    right = sum(model.read(each.text, *marked_word(each)) == each.reading for each in learned)
    assert right / len(learned) > 0.95
    assert train(learned, rounds=5).to_bytes() == model.to_bytes()
    held_out = [each for each in read_marked(data / "test.sent", data / "test.lb") if each.character in model][:200]
    shipped = PolyphoneModel.shipped()
    right = sum(shipped.read(each.text, *marked_word(each)) == each.reading for each in held_out)
    assert right / len(held_out) > 0.85


@pytest.mark.parametrize(
    ("sentences", "readings", "said"),
    [("▁了▁\n", "", "1 lines"), ("了\n", "le5\n", "line 1"), ("▁了了▁\n", "le5\n", "line 1")],
)
def test_bad_data_are_named(sentences, readings, said, tmp_path):
    from nemo_tts.text.mandarin.polyphones_training import read_marked

    (tmp_path / "a.sent").write_text(sentences, encoding="utf-8")
    (tmp_path / "a.lb").write_text(readings, encoding="utf-8")
    with pytest.raises(DataError, match=said):
        list(read_marked(tmp_path / "a.sent", tmp_path / "a.lb"))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_marked(tmp_path / "none", tmp_path / "a.lb"))
