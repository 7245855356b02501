"""Numbers in Chinese words."""

from __future__ import annotations

__all__ = ["cardinal", "digits", "number"]

_DIGITS = "零一二三四五六七八九"
_UNITS = ("", "十", "百", "千")
_LONGEST = 16


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
    high, low = divmod(value, 10**8)
    words = f"{_two(_below_hundred_million(high), high)}亿" if high else ""
    words += _DIGITS[0] * bool(high and 0 < low < 10**7) + _below_hundred_million(low)
    return words.removeprefix("一") if words.startswith("一十") else words


def _below_hundred_million(value: int) -> str:
    high, low = divmod(value, 10**4)
    words = f"{_two(_group(high), high)}万" if high else ""
    # A zero is said once where digits are missing in between.
    return words + _DIGITS[0] * bool(high and 0 < low < 10**3) + _group(low)


def _two(said: str, value: int) -> str:
    return "两" if value == 2 else said


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
