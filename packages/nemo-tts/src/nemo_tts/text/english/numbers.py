"""Numbers in English words, in the American way: no ``and`` before tens."""

from __future__ import annotations

__all__ = ["cardinal", "decimal", "digits", "number", "ordinal", "plural", "year"]

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ("", "thousand", "million", "billion", "trillion", "quadrillion")
_LONGEST = 3 * len(_SCALES)  # digits; what is longer is read digit by digit
_ORDINALS = {
    **{"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth"},
    "twelve": "twelfth",
}


def digits(text: str, zero: str = "zero") -> str:
    """Return the digits in ``text`` one by one; anything else is left out.

    >>> digits("007", zero="oh")
    'oh oh seven'
    """
    return " ".join(zero if digit == "0" else _ONES[int(digit)] for digit in text if digit in "0123456789")


def cardinal(text: str | int) -> str:
    """Return a whole number that is not negative in words.

    Args:
        text: Digits, with or without commas. More than 18 are read one by one, as is what begins with a zero.

    >>> cardinal("1,234,567")
    'one million two hundred thirty four thousand five hundred sixty seven'
    >>> cardinal(0), cardinal("007")
    ('zero', 'zero zero seven')
    """
    text = str(text).replace(",", "")
    if len(text) > _LONGEST or (len(text) > 1 and text[0] == "0"):
        return digits(text)
    value = int(text)
    if value < 20:
        return _ONES[value]
    words: list[str] = []
    for scale in range(len(_SCALES) - 1, -1, -1):
        group = value // 1000**scale % 1000
        if group:
            words += _below_thousand(group)
            words += [_SCALES[scale]] if scale else []
    return " ".join(words)


def _below_thousand(value: int) -> list[str]:
    words = [_ONES[value // 100], "hundred"] if value >= 100 else []
    value %= 100
    if value >= 20:
        words.append(_TENS[value // 10])
        value %= 10
    return words + ([_ONES[value]] if value else [])


def ordinal(text: str | int) -> str:
    """Return the ordinal of a whole number.

    >>> ordinal(21), ordinal("100"), ordinal(12), ordinal(0)
    ('twenty first', 'one hundredth', 'twelfth', 'zeroth')
    """
    words, _, last = cardinal(text).rpartition(" ")
    if last in _ORDINALS:
        last = _ORDINALS[last]
    else:
        last = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return f"{words} {last}".strip()


def decimal(text: str) -> str:
    """Return a number with or without a point: ``3.14``, ``.5``, ``1,000.25``.

    >>> decimal("3.14"), decimal(".50"), decimal("1,000")
    ('three point one four', 'zero point five zero', 'one thousand')
    """
    whole, point, fraction = text.partition(".")
    words = cardinal(whole or "0")
    return f"{words} point {digits(fraction)}" if point and fraction else words


def number(text: str) -> str:
    """Return a number with or without a sign and a point.

    >>> number("-2.5"), number("+7")
    ('minus two point five', 'plus seven')
    """
    sign = {"-": "minus ", "+": "plus "}.get(text[:1], "")
    return sign + decimal(text[1:] if sign else text)


def year(text: str | int) -> str:
    """Return a year of up to four digits the way years are read.

    >>> [year(each) for each in (1984, 1905, 1900, 2000, 2007, 2021, 850)]
    ['nineteen eighty four', 'nineteen oh five', 'nineteen hundred', 'two thousand', 'two thousand seven',
     'twenty twenty one', 'eight fifty']
    """
    value = int(text)
    century, rest = divmod(value, 100)
    if value < 100 or value >= 10000 or 2000 <= value < 2010 or value % 1000 == 0:
        return cardinal(value)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def plural(words: str) -> str:
    """Return the plural of the last of ``words``.

    >>> plural("nineteen ninety"), plural("one sixth"), plural("inch")
    ('nineteen nineties', 'one sixths', 'inches')
    """
    if words.endswith("y") and words[-2:-1] not in "aeiou":
        return words[:-1] + "ies"
    return words + ("es" if words.endswith(("s", "x", "ch", "sh")) else "s")
