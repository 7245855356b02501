"""Tones as they are said, which depend on those beside them (Chao, 1968, "A Grammar of Spoken Chinese", 1.3).

- A third tone before a third tone rises. In a chain the words decide: 老虎 is said before 小老虎 is made of it.
- 不 rises before a fourth tone, and is neutral between a verb and itself (好不好).
- 一 rises before a fourth tone and falls before others; as a number among numbers and in ordinals it stays high.
- The second half of a doubled verb or a doubled name of kin is neutral; so is a direction behind a verb where pypinyin
  says so already.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from nemo_tts.text.mandarin.words import Word, is_chinese

__all__ = ["apply_sandhi"]

_NUMBERS = frozenset("零〇一二三四五六七八九十百千万亿两点年月日号第初幺")
_KIN = frozenset("爸妈哥姐弟妹爷奶叔伯舅姑公婆娃星宝")
_MEASURE_NEUTRAL = frozenset("个")


def apply_sandhi(words: Sequence[Word], known: Callable[[str], bool] = lambda word: False) -> list[list[str]]:
    """Return the readings of each word, with the tones that are said.

    Args:
        words: The words of a text, its punctuation among them.
        known: Says whether characters are a word; decides whether 小老虎 is 小 and 老虎 or 小老 and 虎.

    Example:
        >>> words = [Word("你好", 0, "l", ("ni3", "hao3")), Word("不对", 2, "d", ("bu4", "dui4"))]
        >>> apply_sandhi(words)
        [['ni2', 'hao3'], ['bu2', 'dui4']]
    """
    text = "".join(word.text for word in words)
    readings = [reading for word in words for reading in word.readings]
    if len(readings) != len(text):  # foreign letters are one reading each, so only damaged words come here
        return [list(word.readings) for word in words]
    _neutral(words, readings)
    _bu(text, readings)
    _yi(words, text, readings)
    _third_tones(words, readings, known)
    grouped, start = [], 0
    for word in words:
        grouped.append(readings[start : start + len(word.text)])
        start += len(word.text)
    return grouped


def _tone(readings: Sequence[str], place: int) -> str:
    return readings[place][-1] if 0 <= place < len(readings) and readings[place][-1:].isdigit() else ""


def _set(readings: list[str], place: int, tone: str) -> None:
    readings[place] = readings[place][:-1] + tone


def _neutral(words: Sequence[Word], readings: list[str]) -> None:
    start = 0
    for word in words:
        text = word.text
        doubled = len(text) == 2 and text[0] == text[1] and is_chinese(text[0])
        if doubled and (word.tag.startswith("v") or text[0] in _KIN):
            _set(readings, start + 1, "5")
        if len(text) == 3 and text[0] == text[2] and text[1] in "一不" and is_chinese(text[0]):
            _set(readings, start + 1, "5")
        start += len(text)


def _bu(text: str, readings: list[str]) -> None:
    for place, character in enumerate(text):
        if character == "不" and _tone(readings, place) == "4":
            between = 0 < place < len(text) - 1 and text[place - 1] == text[place + 1]
            if between:
                _set(readings, place, "5")
            elif _tone(readings, place + 1) == "4":
                _set(readings, place, "2")


def _yi(words: Sequence[Word], text: str, readings: list[str]) -> None:
    ends = set()
    start = 0
    for word in words:
        start += len(word.text)
        if len(word.text) > 1:
            ends.add(start - 1)  # 统一, 唯一: the last of a word stays as it is
    for place, character in enumerate(text):
        if character != "一" or _tone(readings, place) not in ("1", "2", "4"):
            continue
        before = text[place - 1] if place else ""
        after = text[place + 1] if place + 1 < len(text) else ""
        if before and before == after and is_chinese(before):
            _set(readings, place, "5")  # 看一看
        elif _counts(before, after) or place in ends:
            _set(readings, place, "1")
        elif after and _tone(readings, place + 1):
            rising = _tone(readings, place + 1) == "4" or after in _MEASURE_NEUTRAL
            _set(readings, place, "2" if rising else "4")


def _counts(before: str, after: str) -> bool:
    """Say whether 一 is a number among numbers, where its tone stays: 第一, 十一, 二零二一年, but 一百 and 一个."""
    if before and before in _NUMBERS:
        return after not in ("百", "千", "万", "亿") or not after
    return bool(after) and after in "零〇一二三四五六七八九月号日点"


def _third_tones(words: Sequence[Word], readings: list[str], known: Callable[[str], bool]) -> None:
    spans: list[tuple[int, int, str]] = []
    start = 0
    for word in words:
        spans.append((start, start + len(word.text), word.text))
        start += len(word.text)
    # Words of one third tone in a row are said in pairs: 我很 + 好.
    merged: list[tuple[int, int, str]] = []
    index = 0
    while index < len(spans):
        run = index
        while run < len(spans) and len(spans[run][2]) == 1 and _tone(readings, spans[run][0]) == "3":
            run += 1
        if run - index < 2:
            merged.append(spans[index])
            index += 1
            continue
        while index < run:
            size = 3 if run - index == 3 else min(2, run - index)
            group = spans[index : index + size]
            merged.append((group[0][0], group[-1][1], "".join(text for _, _, text in group)))
            index += size
    for first, last, text in merged:
        _within(readings, first, last, text, known)
    # Between words only a word of one syllable gives way.
    for (_, last, text), (_, _, following) in itertools.pairwise(merged):
        if (len(text) == 1 or len(following) == 1) and _tone(readings, last - 1) == _tone(readings, last) == "3":
            _set(readings, last - 1, "2")


def _within(readings: list[str], first: int, last: int, text: str, known: Callable[[str], bool]) -> None:
    length = last - first
    if length < 2:
        return
    if length == 2:
        if _tone(readings, first) == _tone(readings, first + 1) == "3":
            _set(readings, first, "2")
        return
    if length == 3:
        cut = 1 if known(text[1:]) and not known(text[:2]) else 2
    else:
        cut = 2
    _within(readings, first, first + cut, text[:cut], known)
    _within(readings, first + cut, last, text[cut:], known)
    # What meets at the cut after both sides have been said.
    if _tone(readings, first + cut - 1) == _tone(readings, first + cut) == "3":
        _set(readings, first + cut - 1, "2")
