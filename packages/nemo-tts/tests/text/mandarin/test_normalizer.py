"""Mandarin in words."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_core.config import Trust, instantiate
from nemo_tts.text import MandarinNormalizer, Normalizer
from nemo_tts.text.mandarin.numbers import cardinal, number

NORMALIZER = MandarinNormalizer()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2021年5月4日", "二零二一年五月四日"),
        ("2021-05-04", "二零二一年五月四日"),
        ("2021/5/4", "二零二一年五月四日"),
        ("10月1号", "十月一号"),
        ("1990年代", "一九九零年代"),
        ("3年", "三年"),
        ("15:45", "十五点四十五分"),
        ("3：05", "三点零五分"),
        ("下午2:00", "下午两点"),
        ("50%", "百分之五十"),
        ("3.5％", "百分之三点五"),
        ("-5%", "百分之负五"),
        ("5‰", "千分之五"),
        ("10%-20%", "百分之十到百分之二十"),
        ("¥100", "一百元"),
        ("$3.5", "三点五美元"),
        ("€2亿", "二亿欧元"),
        ("25℃", "二十五摄氏度"),
        ("5km", "五公里"),
        ("60km/h", "六十公里每小时"),
        ("10-20人", "十到二十人"),
        ("1/2", "二分之一"),
        ("-3.14", "负三点一四"),
        ("1,234", "一千二百三十四"),
        ("2个人", "两个人"),
        ("12个", "十二个"),
        ("第2个", "第二个"),
        ("2月", "二月"),
        ("13800138000", "幺三八零零幺三八零零零"),
        ("+86 138 0013 8000", "加八六幺三八零零幺三八零零零"),
        ("010-12345678", "零幺零幺二三四五六七八"),
        ("ＡＢＣ１２３", "ABC一百二十三"),
        ("5G手机", "五G手机"),
        ("用iPhone打电话", "用iPhone打电话"),
        ("我 去 学校", "我去学校"),
        ("真好！！！", "真好！"),
        ("3×4=12", "三乘四等于十二"),
        ("", ""),
    ],
)
def test_text_in_words(text, words):
    assert NORMALIZER.normalize(text) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "零"), (10, "十"), (12, "十二"), (20, "二十"), (110, "一百一十"), (1001, "一千零一"), (1010, "一千零一十"),
        (2002, "两千零二"), (10000, "一万"), (100000, "十万"), (110000, "十一万"), (10001, "一万零一"),
        (1000000, "一百万"), (100000000, "一亿"), (100010000, "一亿零一万"),
        (123456789, "一亿两千三百四十五万六千七百八十九"),
        ("007", "零零七"), ("1" * 20, "一" * 20),
    ],
)  # fmt: skip
def test_numbers(value, words):
    assert cardinal(value) == words
    assert number("-0.50") == "负零点五零"


DIGITS = {character: value for value, character in enumerate("零一二三四五六七八九")} | {"两": 2}


@given(st.integers(0, 10**16 - 1))
def test_words_say_the_number(value):
    words = cardinal(value)
    total, section, digit = 0, 0, 0
    for character in words:
        if character in DIGITS:
            digit = DIGITS[character]
        elif character in "十百千":
            section += (digit or 1) * {"十": 10, "百": 100, "千": 1000}[character]
            digit = 0
        elif character == "万":
            section = (section + digit) * 10000
            total, section, digit = total + section, 0, 0
        else:
            total, section, digit = (total + section + digit) * 10**8, 0, 0
    assert total + section + digit == value


def test_what_cannot_be_spoken_is_reported():
    found = NORMALIZER.analyze("你好👋 привет")
    assert found.text == "你好"
    assert [each.name for each in found.dropped][:2] == ["WAVING HAND SIGN", "CYRILLIC SMALL LETTER PE"]
    assert found.dropped[1].position == 4


FRAGMENTS = """
2021年 5月 4日 3.5% ¥100 - ~ / 15:45 2个 第2 km ℃ 13800138000 010-12345678 一 两 ， 。 ！ a B 1 0 . + 👋 é １ ² … — 的
"""
PIECES = st.sampled_from(FRAGMENTS.split())


@settings(deadline=None)
@given(st.lists(PIECES, max_size=8), st.sampled_from(["", " "]))
def test_what_is_normalised_stays_as_it_is(pieces, between):
    once = NORMALIZER.analyze(between.join(pieces)).text
    again = NORMALIZER.analyze(once)
    assert (again.text, again.dropped) == (once, ())
    assert not any(character.isdigit() and character.isascii() for character in once)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_can_be_normalised(text):
    once = NORMALIZER.analyze(text).text
    assert NORMALIZER.analyze(once).text == once


@pytest.mark.parametrize("part", ["1", "1,", "1-", "1/", "1.", "中", "，", "12:", "¥", "2个", "👋", "a1"])
def test_ten_thousand_characters_of_anything(part):
    NORMALIZER.analyze((part * 10_000)[:10_000])


def test_it_travels_and_is_rebuilt():
    assert isinstance(NORMALIZER, Normalizer)
    assert pickle.loads(pickle.dumps(NORMALIZER)).normalize("5%") == "百分之五"
    assert instantiate(NORMALIZER.to_config(), trust=Trust.archive()).normalize("5%") == "百分之五"
