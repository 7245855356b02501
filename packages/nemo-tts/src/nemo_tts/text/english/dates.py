"""Dates, years and times of day in English words."""

from __future__ import annotations

import re
from collections.abc import Callable

from nemo_tts.text.english.numbers import cardinal, ordinal, plural, year

__all__ = ["MONTHS", "date_rules", "time_rules"]

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November"),
    "December",
)
# "May" has no abbreviation; without its point "Mar" or "Dec" is taken for a month only beside a day.
_SHORT = {month[:3]: month for month in MONTHS} | {"Sept": "September"}
_MONTH = rf"(?P<month>{'|'.join(MONTHS)}|(?:{'|'.join(_SHORT)})\b\.?)"
_DAY = r"(?P<day>3[01]|[12]\d|0?[1-9])"
_YEAR = r"(?P<year>[12]\d{3})"
_BEFORE, _AFTER = r"(?<![\w./:-])", r"(?![\w/:-])(?!\.\d)"


def _month(text: str) -> str:
    return text if text in MONTHS else _SHORT[text.rstrip(".")]


def _spoken(day: str, month: str, years: str | None) -> str:
    return f"{month} {ordinal(int(day))}" + (f", {year(years)}" if years else "")


def _day_first(match: re.Match[str]) -> str:
    date = f"{match['the'] or 'the '}{ordinal(int(match['day']))} of {_month(match['month'])}"
    return date + (f" {year(match['year'])}" if match["year"] else "")


def _month_first(match: re.Match[str]) -> str:
    return _spoken(match["day"], _month(match["month"]), match["year"])


def _iso(match: re.Match[str]) -> str:
    month = int(match["number"])
    return _spoken(match["day"], MONTHS[month - 1], match["year"]) if 1 <= month <= 12 else match[0]


def _slashes(order: str) -> Callable[[re.Match[str]], str]:
    def spoken(match: re.Match[str]) -> str:
        first, second = int(match["first"]), int(match["second"])
        month, day = (first, second) if order == "mdy" else (second, first)
        if month > 12:  # only one reading is a date
            month, day = day, month
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return match[0]
        years = match["year"] if len(match["year"]) == 4 else f"{20 if int(match['year']) < 50 else 19}{match['year']}"
        return _spoken(str(day), MONTHS[month - 1], years)

    return spoken


def _decade(match: re.Match[str]) -> str:
    value = int(match["decade"])
    if value % 1000 == 0 and value:
        return plural(f"{cardinal(value // 1000)} thousand")
    return plural(year(value))


def _era(match: re.Match[str]) -> str:
    return f"{year(match['year'])} {' '.join(match['era'].replace('.', ''))}"


def _year_range(match: re.Match[str]) -> str:
    start, end = match["start"], match["end"]
    return f"{year(start)} to {year(end) if len(end) == 4 else cardinal(end)}"


def date_rules(order: str = "mdy") -> list[Rule]:
    """Return the rules of dates and years; ``order`` is ``mdy`` or ``dmy``, how ``5/4/2021`` is meant."""
    suffix = r"(?:st|nd|rd|th)?"
    return [
        (re.compile(rf"{_BEFORE}{_YEAR}-(?P<number>\d\d)-(?P<day>[0-3]\d){_AFTER}"), _iso),
        (
            re.compile(rf"{_BEFORE}(?P<first>\d\d?)([/.])(?P<second>\d\d?)\2(?P<year>[12]\d{{3}}|\d\d){_AFTER}"),
            _slashes(order),
        ),
        (
            re.compile(rf"{_BEFORE}(?P<the>[Tt]he )?{_DAY}{suffix} (?:of )?{_MONTH}(?:,? {_YEAR})?{_AFTER}"),
            _day_first,
        ),
        (re.compile(rf"{_BEFORE}{_MONTH} {_DAY}{suffix}(?:,? {_YEAR})?{_AFTER}"), _month_first),
        (
            re.compile(rf"{_BEFORE}(?P<month>{'|'.join(_SHORT)})\.? {_YEAR}{_AFTER}"),
            lambda match: f"{_month(match['month'])} {year(match['year'])}",
        ),
        (re.compile(r"(?<![\w./:])'?(?P<decade>[12]\d\d0|[1-9]0)'?s\b"), _decade),
        (re.compile(r"(?<![\w./:,])(?P<year>\d{1,4}) (?P<era>AD|BC|CE|BCE|A\.D\.|B\.C\.|B\.C\.E\.)(?!\w)"), _era),
        (
            re.compile(rf"{_BEFORE}(?P<start>1[1-9]\d\d|20\d\d) ?[-–] ?(?P<end>1[1-9]\d\d|20\d\d|\d\d){_AFTER}"),
            _year_range,
        ),
        (
            re.compile(r"(?<![\w./:,$£€¥₹#+=<>-])(?P<year>19\d\d|20\d\d)(?![\w/:%°-])(?!,\d)(?!\.\d)(?! ?[%°×])"),
            lambda match: year(match["year"]),
        ),
        (
            re.compile(
                r"\b(?P<word>(?:[Ii]n|[Ss]ince|[Uu]ntil|[Ff]rom|[Bb]efore|[Aa]fter|[Yy]ear|[Cc]irca) )"
                r"(?P<year>1[0-8]\d\d)(?![\w/:%°-])(?!,\d)(?!\.\d)"
            ),
            lambda match: match["word"] + year(match["year"]),
        ),
    ]


_SENTENCE_ENDS = re.compile(r" *(?:[A-Z]|$)")
_HALF = r"(?P<half>[AaPp])\.? ?[Mm]\b\.?"


def _half(match: re.Match[str]) -> str:
    text = match["half"]
    if not text:
        return ""
    # The point of "a.m." ends a sentence where a capital follows, and the text where nothing does.
    ends = match[0].endswith(".") and _SENTENCE_ENDS.match(match.string, match.end())
    return f" {text.upper()} M" + ("." if ends else "")


def _clock(match: re.Match[str]) -> str:
    hour, minute, second = int(match["hour"]), match["minute"], match["second"]
    if hour > 24 or int(minute) > 59:
        return match[0]
    if second:
        words = f"{cardinal(hour)} {_minutes(minute, 'hundred')} and {cardinal(int(second))} seconds"
    elif minute == "00":
        words = cardinal(hour) + ("" if match["half"] else " o'clock" if 1 <= hour <= 12 else " hundred")
    else:
        words = f"{cardinal(hour)} {_minutes(minute, '')}"
    return words + _half(match)


def _minutes(text: str, none: str) -> str:
    return none if text == "00" else f"oh {cardinal(int(text))}" if text[0] == "0" else cardinal(text)


def time_rules() -> list[Rule]:
    """Return the rules of times of day."""
    return [
        (re.compile(r"(?<=\d:\d\d) ?[-–] ?(?=\d\d?:\d\d)"), lambda match: " to "),
        (
            re.compile(
                rf"(?<![\w.:])(?P<hour>\d\d?):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?: ?{_HALF})?(?![\w:])"
            ),
            _clock,
        ),
        (
            re.compile(rf"(?<![\w.:,])(?P<hour>1[0-2]|0?[1-9]) ?{_HALF}(?!\w)"),
            lambda match: cardinal(int(match["hour"])) + _half(match),
        ),
    ]
