"""Numbers in Chinese words."""

from __future__ import annotations

__all__ = ["cardinal", "digits", "number"]

_DIGITS = "零一二三四五六七八九"
_UNITS = ("", "十", "百", "千")
_GROUPS = ("", "万", "亿", "万亿")
_LONGEST = 4 * len(_GROUPS)


def digits(text: str, one: str = "一") -> str:
    """Return the digits in ``text`` one by one; on the telephone a one is ``幺``.

    >>> digits("2021"), digits("110", one="幺")
    ('二零二一', '幺幺零')
    """
    return "".join(one if digit == "1" else _DIGITS[int(digit)] for digit in text if digit in "0123456789")


def cardinal(text: str | int) -> str:
    """Return a whole number that is not negative.

    Args:
        text: Digits, with or without commas. More than 16 are read one by one, as is what begins with a zero.

    >>> [cardinal(each) for each in (0, 10, 15, 105, 2000, 20005, 120000000, "1,234")]
    ['零', '十', '十五', '一百零五', '两千', '两万零五', '一亿两千万', '一千二百三十四']
    """
    text = str(text).replace(",", "")
    if len(text) > _LONGEST or (len(text) > 1 and text[0] == "0"):
        return digits(text)
    value = int(text)
    if value == 0:
        return _DIGITS[0]
    words, gap = "", False
    for place in range(len(_GROUPS) - 1, -1, -1):
        group = value // 10000**place % 10000
        if not group:
            gap = bool(words)
            continue
        said = _group(group)
        # A zero is said once where digits are missing in between.
        if words and (gap or group < 1000):
            words += _DIGITS[0]
        words += _two(said, group) + _GROUPS[place] if place else said
        gap = False
    words = words.replace("万亿", "万亿", 1)
    return words.removeprefix("一") if words.startswith("一十") else words


def _two(said: str, group: int) -> str:
    return "两" if group == 2 else said


def _group(value: int) -> str:
    words, zero = "", False
    for place in range(3, -1, -1):
        digit = value // 10**place % 10
        if not digit:
            zero = bool(words)
            continue
        words += (_DIGITS[0] if zero else "") + ("两" if digit == 2 and place == 3 else _DIGITS[digit]) + _UNITS[place]
        zero = False
    return words


def number(text: str) -> str:
    """Return a number with or without a sign and a point.

    >>> number("-3.14"), number("1,000")
    ('负三点一四', '一千')
    """
    sign = {"-": "负", "−": "负", "+": "正"}.get(text[:1], "")
    whole, point, fraction = (text[1:] if sign else text).partition(".")
    return sign + cardinal(whole or "0") + (f"点{digits(fraction)}" if point and fraction else "")
