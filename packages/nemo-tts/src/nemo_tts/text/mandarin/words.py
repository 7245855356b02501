"""Chinese text cut into words, with the readings that a dictionary of phrases gives them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import Any

from nemo_core.errors import ConfigError

__all__ = ["Word", "is_chinese", "split_words"]


@dataclass(frozen=True)
class Word:
    """A word of a text.

    Attributes:
        text: Its characters.
        start: Where in the text it begins.
        tag: Part of speech, in the letters that jieba uses: ``n`` noun, ``v`` verb, ``d`` adverb, ``m`` number ...
        readings: Pinyin of each Chinese character, the tone a digit from 1 to 5; other characters as they are.
    """

    text: str
    start: int
    tag: str
    readings: tuple[str, ...]


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
    tagger, pypinyin = _libraries()
    words, start = [], 0
    for pair in tagger.cut(text):
        readings = pypinyin.lazy_pinyin(
            pair.word,
            style=pypinyin.Style.TONE3,
            neutral_tone_with_five=True,
            v_to_u=False,
            errors=lambda unknown: list(unknown),
        )
        words.append(Word(pair.word, start, pair.flag, tuple(readings)))
        start += len(pair.word)
    return words


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
