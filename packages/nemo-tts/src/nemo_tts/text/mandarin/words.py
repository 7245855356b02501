"""Chinese text cut into words, with the readings that a dictionary of phrases gives them."""

from __future__ import annotations

import logging
from collections.abc import Container
from dataclasses import dataclass
from functools import cache
from typing import Any

from nemo_core.errors import ConfigError

__all__ = ["Word", "is_chinese", "split_words"]

_LONGEST = 4


@dataclass(frozen=True)
class Word:
    """A word of a text.

    Attributes:
        text: Its characters.
        start: Where in the text it begins.
        tag: Part of speech, in the letters that jieba uses: ``n`` noun, ``v`` verb, ``d`` adverb, ``m`` number ...
        readings: Pinyin of each Chinese character, the tone a digit from 1 to 5; other characters as they are.
        known: For each character whether it is in a phrase that a dictionary has with its readings: the word, or a part
            of it, as 行长 of 银行行长.
        joined: The reading that a single character has in the dictionary's phrase that it makes with the words beside
            it, as 还 in 还书; empty if there is none.
    """

    text: str
    start: int
    tag: str
    readings: tuple[str, ...]
    known: tuple[bool, ...] = ()
    joined: str = ""


def is_chinese(character: str) -> bool:
    """Say whether ``character`` is a Chinese one.

    >>> [is_chinese(each) for each in "中〇a，"]
    [True, True, False, False]
    """
    point = ord(character)
    return 0x4E00 <= point <= 0x9FFF or 0x3400 <= point <= 0x4DBF or 0x20000 <= point <= 0x323AF or character == "〇"


def split_words(text: str) -> list[Word]:
    """Return the words of ``text`` in order; nothing of it is left out.

    Raises:
        ConfigError: jieba or pypinyin is not installed.

    >>> [word.text for word in split_words("我去银行。")]
    ['我', '去', '银行', '。']
    """
    tagger = _libraries()[0]
    cut = [(pair.word, pair.flag) for pair in tagger.cut(text)]
    ends = [0]
    for word, _ in cut:
        ends.append(ends[-1] + len(word))
    words = []
    for number, (word, tag) in enumerate(cut):
        joined = _joined(text, number, ends) if len(word) == 1 and is_chinese(word) else ""
        words.append(Word(word, ends[number], tag, _readings(word), _known(word), joined))
    return words


def _readings(text: str) -> tuple[str, ...]:
    pypinyin = _libraries()[1]
    return tuple(
        pypinyin.lazy_pinyin(
            text,
            style=pypinyin.Style.TONE3,
            neutral_tone_with_five=True,
            v_to_u=False,
            errors=lambda unknown: list(unknown),
        )
    )


def _known(word: str) -> tuple[bool, ...]:
    phrases, known = _phrases(), [False] * len(word)
    for first in range(len(word) - 1):
        for last in range(first + 2, len(word) + 1):
            if word[first:last] in phrases:
                known[first:last] = [True] * (last - first)
    return tuple(known)


def _joined(text: str, number: int, ends: list[int]) -> str:
    """Return the reading of a word of one character in the longest phrase of whole words that it is in."""
    place, phrases = ends[number], _phrases()
    firsts = [first for first in ends[max(0, number - _LONGEST + 1) : number + 1] if place - first < _LONGEST]
    lasts = [last for last in ends[number + 1 : number + _LONGEST + 1] if last - place <= _LONGEST]
    spans = [
        (first, last)
        for first in firsts
        for last in lasts
        if 1 < last - first <= _LONGEST and text[first:last] in phrases
    ]
    if not spans:
        return ""
    first, last = max(spans, key=lambda span: (span[1] - span[0], -span[0]))
    readings = _readings(text[first:last])
    return readings[place - first] if len(readings) == last - first else ""


@cache
def _phrases() -> Container[str]:
    from pypinyin.constants import PHRASES_DICT

    phrases: Container[str] = PHRASES_DICT
    return phrases


@cache
def _libraries() -> tuple[Any, Any]:
    try:
        import jieba
        import jieba.posseg
        import pypinyin
    except ImportError as error:
        raise ConfigError(
            f"Chinese needs {error.name}, which is not installed", hint='pip install "nemo-tts[zh]"'
        ) from None
    jieba.default_logger.setLevel(logging.WARNING)  # it tells how long it took to read its dictionary
    return jieba.posseg, pypinyin
