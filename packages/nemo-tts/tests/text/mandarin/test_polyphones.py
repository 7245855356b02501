from __future__ import annotations

import lzma

import pytest

from nemo_core.errors import DataError
from nemo_tts.text.mandarin.polyphones import PolyphoneModel, context_features


def test_features_say_what_is_around():
    features = context_features("在银行里", 2, "银行", 1, "n", "hang2")
    assert {"", "r=hang2", "a=银", "b=里", "c=在", "d=^", "w=银行", "t=n", "p=last"} <= set(features)
    assert "p=single" in context_features("行", 0, "行", 0, "v", "xing2")


def test_the_weights_decide_and_a_file_keeps_them():
    model = PolyphoneModel({"行": ["hang2", "xing2"]}, {"行": {"a=银": [2.0, -2.0], "": [0.0, 0.5], "x": [0.001, 0.0]}})
    for each in (model, PolyphoneModel.from_bytes(model.to_bytes())):
        assert each.choose("行", ["", "a=银"]) == "hang2"
        assert each.choose("行", ["", "a=步"]) == "xing2"
        assert "行" in each
        assert "中" not in each
    assert "x" not in PolyphoneModel.from_bytes(model.to_bytes()).weights["行"]


@pytest.mark.parametrize("content", [b"", b"nemo polyphones 1\n", b"nemo polyphones 1\n" + lzma.compress(b"[1]")])
def test_damaged_files_are_refused(content):
    with pytest.raises(DataError, match="no model of polyphones"):
        PolyphoneModel.from_bytes(content)


def test_learning(dictionaries, tmp_path):
    pytest.importorskip("pypinyin", reason="nemo-tts[zh] is not installed")
    pytest.importorskip("jieba", reason="nemo-tts[zh] is not installed")
    from nemo_tts.text.mandarin.polyphones_training import features_of, read_marked, train

    data = dictionaries / "g2pM-polyphones"
    learned = list(read_marked(data / "dev.sent", data / "dev.lb"))[:300]
    model = train(learned, rounds=5)
    right = sum(model.choose(each.character, features_of(each)) == each.reading for each in learned)
    assert right / len(learned) > 0.95
    assert train(learned, rounds=5).to_bytes() == model.to_bytes()
    held_out = [each for each in read_marked(data / "test.sent", data / "test.lb") if each.character in model][:200]
    shipped = PolyphoneModel.shipped()
    right = sum(shipped.choose(each.character, features_of(each)) == each.reading for each in held_out)
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
