"""Tones in speech; words are given, so that nothing depends on a segmenter."""

from __future__ import annotations

import pytest

from nemo_tts.text.mandarin.sandhi import apply_sandhi
from nemo_tts.text.mandarin.words import Word, is_chinese


def said(*words: tuple[str, str] | tuple[str, str, str], known: tuple[str, ...] = ()) -> str:
    made, start = [], 0
    for text, readings, *tag in words:
        made.append(Word(text, start, tag[0] if tag else "n", tuple(readings.split())))
        start += len(text)
    return " ".join(reading for each in apply_sandhi(made, lambda word: word in known) for reading in each)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([("你好", "ni3 hao3")], "ni2 hao3"),
        ([("展览馆", "zhan3 lan3 guan3")], "zhan2 lan2 guan3"),
        ([("我", "wo3"), ("很", "hen3"), ("好", "hao3")], "wo2 hen2 hao3"),
        ([("我", "wo3"), ("买", "mai3"), ("好", "hao3"), ("酒", "jiu3")], "wo2 mai3 hao2 jiu3"),
        ([("我", "wo3"), ("想", "xiang3"), ("，", "，"), ("好", "hao3")], "wo2 xiang3 ， hao3"),
        ([("很", "hen3"), ("美丽", "mei3 li4")], "hen2 mei3 li4"),
        ([("老师", "lao3 shi1"), ("好", "hao3")], "lao3 shi1 hao3"),
        ([("不", "bu4"), ("对", "dui4")], "bu2 dui4"),
        ([("不", "bu4"), ("好", "hao3")], "bu4 hao3"),
        ([("好不好", "hao3 bu4 hao3")], "hao3 bu5 hao3"),
        ([("不", "bu4")], "bu4"),
        ([("一", "yi1"), ("个", "ge4")], "yi2 ge4"),
        ([("一", "yi1"), ("个", "ge5")], "yi2 ge5"),
        ([("一", "yi1"), ("天", "tian1")], "yi4 tian1"),
        ([("一样", "yi1 yang4")], "yi2 yang4"),
        ([("一起", "yi1 qi3")], "yi4 qi3"),
        ([("第一", "di4 yi1"), ("次", "ci4")], "di4 yi1 ci4"),
        ([("统一", "tong3 yi1"), ("价格", "jia4 ge2")], "tong3 yi1 jia4 ge2"),
        ([("十一", "shi2 yi1"), ("个", "ge4")], "shi2 yi1 ge4"),
        ([("一月", "yi1 yue4")], "yi1 yue4"),
        ([("一百", "yi1 bai3")], "yi4 bai3"),
        ([("看一看", "kan4 yi1 kan4", "v")], "kan4 yi5 kan4"),
        ([("看看", "kan4 kan4", "v")], "kan4 kan5"),
        ([("妈妈", "ma1 ma1")], "ma1 ma5"),
        ([("天天", "tian1 tian1")], "tian1 tian1"),
        ([], ""),
        ([("OK", "O K"), ("！", "！")], "O K ！"),
    ],
)
def test_tones_in_speech(words, expected):
    assert said(*words) == expected


def test_the_structure_of_a_word_decides():
    assert said(("小老虎", "xiao3 lao3 hu3"), known=("老虎",)) == "xiao3 lao2 hu3"
    assert said(("小老虎", "xiao3 lao3 hu3"), known=("小老",)) == "xiao2 lao2 hu3"


def test_chinese_characters():
    assert all(map(is_chinese, "中㐀〇"))
    assert not any(map(is_chinese, "aあ，1"))
