"""Money, measures, fractions, telephone numbers and plain numbers in English words."""

from __future__ import annotations

import re
from collections.abc import Callable

from nemo_tts.text.english.numbers import cardinal, decimal, digits, number, ordinal, plural

__all__ = ["amount_rules", "number_rules", "telephone_rules"]

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]

_NUMBER = r"(?:\d{1,3}(?:,\d{3})++|\d++)(?:\.\d++)?+|\.\d++"
_MINUS = r"(?<![\w.)])[-−]"
# A number begins where no other one is going on. It also keeps patterns from beginning anew at each digit.
_START = r"(?<![\w./])(?<!\d,)"
_SIGNED = rf"(?:{_MINUS}|{_START})(?:{_NUMBER})"
_SCALES = {"k": "thousand", "K": "thousand", "m": "million", "M": "million", "bn": "billion", "B": "billion"}
_SCALES |= {"tn": "trillion", "T": "trillion"} | {word: word for word in ("hundred", "thousand", "million", "billion")}
_SCALES |= {"trillion": "trillion", "mn": "million", "b": "billion"}
_WORD_SCALES = "hundred|thousand|million|billion|trillion"

_CURRENCIES = {
    **{
        "$": ("dollar", "cent"),
        "£": ("pound", "penny"),
        "€": ("euro", "cent"),
        "¥": ("yen", ""),
        "₹": ("rupee", "paisa"),
    },
    **{"₩": ("won", ""), "USD": ("US dollar", "cent"), "EUR": ("euro", "cent"), "GBP": ("pound", "penny")},
    **{"US$": ("US dollar", "cent"), "A$": ("Australian dollar", "cent"), "C$": ("Canadian dollar", "cent")},
}
_UNCHANGED = {"yen": "yen", "won": "won", "penny": "pence", "paisa": "paise", "hertz": "hertz", "foot": "feet"}
_SIGN = "|".join(re.escape(sign) for sign in sorted(_CURRENCIES, key=len, reverse=True))

_PREFIXES = {"k": "kilo", "M": "mega", "G": "giga", "T": "tera", "m": "milli", "c": "centi", "μ": "micro", "n": "nano"}
_UNITS = {
    **{prefix + "m": name + "meter" for prefix, name in _PREFIXES.items() if prefix in "kmcμn"},
    **{prefix + "g": name + "gram" for prefix, name in _PREFIXES.items() if prefix in "kmμ"},
    **{prefix + "Hz": name + "hertz" for prefix, name in _PREFIXES.items() if prefix in "kMGT"},
    **{prefix + "W": name + "watt" for prefix, name in _PREFIXES.items() if prefix in "kMGm"},
    **{prefix + "B": name + "byte" for prefix, name in _PREFIXES.items() if prefix in "kMGT"},
    **{prefix + "s": name + "second" for prefix, name in _PREFIXES.items() if prefix in "mμn"},
    **{prefix + "V": name + "volt" for prefix, name in _PREFIXES.items() if prefix in "km"},
    **{prefix + "A": name + "ampere" for prefix, name in _PREFIXES.items() if prefix in "m"},
    **{"m": "meter", "g": "gram", "t": "ton", "Hz": "hertz", "W": "watt", "V": "volt", "J": "joule"},
    **{"l": "liter", "L": "liter", "ml": "milliliter", "mL": "milliliter", "s": "second", "sec": "second"},
    **{"min": "minute", "h": "hour", "hr": "hour", "hrs": "hour", "KB": "kilobyte"},
    **{"mi": "mile", "yd": "yard", "ft": "foot", "lb": "pound", "lbs": "pound", "oz": "ounce", "ha": "hectare"},
    **{"kWh": "kilowatt hour", "cal": "calorie", "kcal": "kilocalorie", "dB": "decibel", "Pa": "pascal"},
    **{"kPa": "kilopascal", "hPa": "hectopascal", "kJ": "kilojoule", "px": "pixel", "Ω": "ohm", "kΩ": "kilohm"},
    **{"°C": "degree Celsius", "°F": "degree Fahrenheit", "°": "degree", "K": "kelvin", "mph": "mile per hour"},
    **{"kph": "kilometer per hour", "fps": "frame per second", "rpm": "revolution per minute", "bps": "bit per second"},
    **{"kbps": "kilobit per second", "Mbps": "megabit per second", "Gbps": "gigabit per second", "Mb": "megabit"},
}
_UNIT = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_PER = {"s": "second", "sec": "second", "min": "minute", "h": "hour", "hr": "hour", "day": "day", "kg": "kilogram"}
_PER |= {"l": "liter", "L": "liter", "m": "meter", "km": "kilometer", "g": "gram", "mi": "mile", "year": "year"}
# With no blank between, these are something else: 4K, the 100s.
_APART = frozenset("Ks")
_POWERS = {" squared": "square ", " cubed": "cubic "}


def _plural_unit(unit: str, amount: str) -> str:
    if amount in ("1", "-1", "−1"):
        return unit
    head, of, rest = unit.partition(" per ")
    first, blank, last = head.partition(" ") if head.startswith("degree ") else (head, "", "")
    base = next((word for word in _UNCHANGED if first.endswith(word)), None)
    many = first[: -len(base)] + _UNCHANGED[base] if base else plural(first)
    return many + blank + last + of + rest


def _signed(text: str) -> str:
    return number(text.replace("−", "-"))


def _money(match: re.Match[str]) -> str:
    unit, small = _CURRENCIES[match["sign"]]
    amount, scale = match["amount"], (match["scale"] or "").strip()
    minus = "minus " if match["minus"] else ""
    if scale:
        return f"{minus}{decimal(amount)} {_SCALES[scale]} {_plural_unit(unit, '2')}"
    whole, _, fraction = amount.partition(".")
    if not (len(fraction) == 2 and small):
        return f"{minus}{decimal(amount)} {_plural_unit(unit, amount)}"
    parts = [f"{cardinal(whole)} {_plural_unit(unit, whole)}"] if int(whole.replace(",", "") or 0) else []
    cents = int(fraction)
    if cents or not parts:
        parts.append(f"{cardinal(cents)} {_plural_unit(small, str(cents))}")
    return minus + " and ".join(parts)


def _cents(match: re.Match[str]) -> str:
    return f"{decimal(match['amount'])} {_plural_unit('cent', match['amount'])}"


def _measure(match: re.Match[str]) -> str:
    unit, amount = _UNITS[match["unit"]], match["amount"]
    if match["unit"] in _APART and not match["blank"]:
        return match[0]
    power = _POWERS.get(match["power"] or "", "")
    per = f" per {_PER[match['per']]}" if match["per"] else ""
    return f"{_signed(amount)} {power}{_plural_unit(unit, amount)}{per}"


def _fraction_of_unit(match: re.Match[str]) -> str:
    """Write out the unit alone; the fraction is read by a rule of its own."""
    unit = _POWERS.get(match["power"] or "", "") + _plural_unit(_UNITS[match["unit"]], "2" if match["whole"] else "1")
    return f"{match['fraction']} {unit}"


def _feet(match: re.Match[str]) -> str:
    feet, inches = match["feet"], match["inches"]
    words = f"{cardinal(feet)} {_plural_unit('foot', feet)}"
    return f"{words} {cardinal(inches)} {_plural_unit('inch', inches)}" if inches else words


def amount_rules() -> list[Rule]:
    """Return the rules of money, percentages and measures."""
    measured = rf"(?=(?:{_NUMBER}) ?(?:[%¢]|(?:{_UNIT})(?![\w/])))"
    return [
        (
            re.compile(rf"(?P<sign>{_SIGN})(?P<start>{_NUMBER}) ?[-–] ?(?:(?P=sign))?(?P<end>{_NUMBER})(?![\w-])"),
            lambda match: f"{decimal(match['start'])} to {match['sign']}{match['end']}",
        ),
        (re.compile(rf"{_START}({_NUMBER}) ?[-–] ?{measured}"), lambda match: f"{decimal(match[1])} to "),
        (
            re.compile(
                rf"(?P<minus>{_MINUS})?(?P<sign>{_SIGN}) ?(?P<amount>{_NUMBER})"
                rf"(?P<scale> ?(?:{_WORD_SCALES})\b|(?:bn|tn|mn|[kKmMbBT])\b)?"
            ),
            _money,
        ),
        (re.compile(rf"{_START}(?P<amount>{_NUMBER}) ?¢"), _cents),
        (
            re.compile(
                r"(?<![\w./])(?P<fraction>(?P<whole>\d{1,4}[ -])?\d{1,3}/\d{1,3}) ?"
                rf"(?P<unit>{_UNIT})(?P<power> squared| cubed)?(?![\w/])"
            ),
            _fraction_of_unit,
        ),
        (re.compile(rf"({_SIGNED}) ?%"), lambda match: f"{_signed(match[1])} percent"),
        (
            re.compile(r"(?<![\w.])(?P<feet>\d)'(?P<inches>\d\d?)\"(?!\w)"),
            _feet,
        ),
        (
            re.compile(
                rf"(?P<amount>{_SIGNED})(?P<blank> ?)(?P<unit>{_UNIT})(?P<power> squared| cubed)?"
                rf"(?:/(?P<per>{'|'.join(sorted(_PER, key=len, reverse=True))}))?(?![\w/])(?:\.(?= [a-z]))?"
            ),
            _measure,
        ),
    ]


_TELEPHONES = (
    r"\+\d{1,3}(?:[ .-]\(?\d{1,4}\)?){2,5}",  # international
    r"(?:1[ .-])?\(\d{3}\) ?\d{3}[ .-]\d{4}",
    r"(?:1[ .-])?\d{3}([.-])\d{3}\1\d{4}",
    r"\d{3} \d{3} \d{4}",
    r"[2-9]\d{2}-(?!\d{2}00)\d{4}",  # local; 500-1000 is a range
)


def _telephone(match: re.Match[str]) -> str:
    text = match[0]
    groups = re.findall(r"\d+", text)
    return ("plus " if text[0] == "+" else "") + ", ".join(_group(group) for group in groups)


def _group(text: str) -> str:
    if text == "800":
        return "eight hundred"
    return digits(text, zero="oh")


def telephone_rules() -> list[Rule]:
    """Return the rules of telephone numbers: digit by digit, a comma between groups."""
    return [(re.compile(rf"(?<![\w.+]){form}(?![\w])(?!-\d)"), _telephone) for form in _TELEPHONES]


def _fraction(match: re.Match[str]) -> str:
    whole, top, bottom = match["whole"], match["top"], match["bottom"]
    if int(bottom) == 0 or int(bottom) > 100 or int(top) > 100:
        words = f"{cardinal(top)} over {cardinal(bottom)}"
    else:
        part = {"1": "over one", "2": "half", "4": "quarter"}.get(bottom) or ordinal(bottom)
        if bottom != "1" and top != "1":
            part = "halves" if bottom == "2" else plural(part)
        words = f"{cardinal(top)} {part}"
    minus = "minus " if match["minus"] else ""
    return f"{minus}{cardinal(whole)} and {words}" if whole else minus + words


def _range(match: re.Match[str]) -> str:
    return f"{decimal(match['start'])} to {decimal(match['end'])}"


def _version(match: re.Match[str]) -> str:
    parts = match[0].split(".")
    return (" dot " if len(parts) == 4 else " point ").join(cardinal(part) for part in parts)


def number_rules() -> list[Rule]:
    """Return the rules of fractions, ranges, ordinals and whatever other number is left."""
    return [
        (re.compile(r"(?<![\w.])\d{1,6}(?:\.\d{1,6}){2,}+(?![\w])"), _version),
        (
            re.compile(
                r"(?<![\w./])(?P<minus>-)?(?:(?P<whole>\d{1,4})(?: |-))?"
                r"(?P<top>\d{1,3})/(?P<bottom>\d{1,3})(?![\w/])(?!\.\d)"
            ),
            _fraction,
        ),
        (
            re.compile(rf"(?<![\w.,/-])(?P<start>{_NUMBER}) ?[-–] ?(?P<end>{_NUMBER})(?![\w/-])(?!\.\d)"),
            _range,
        ),
        (re.compile(rf"{_START}(\d[\d,]*+)(?<!,)(?:st|nd|rd|th)\b"), lambda match: ordinal(match[1])),
        (re.compile(r"(?<=\d)\s?x\s?(?=\d)"), lambda match: " times "),
        (re.compile(r"(?<=\d) ?\^ ?(?=[\d-])"), lambda match: " to the power of "),
        (re.compile(r"(?<![\w])~ ?(?=[\d.$£€])"), lambda match: "about "),
        (re.compile(r"(?<=[\d)]) [-–] (?=[\d(])"), lambda match: " minus "),
        (re.compile(rf"{_MINUS}(?=\d|\.\d)"), lambda match: "minus "),
        # What touches a letter is read apart from it: COVID-19, H2O, MP3, 4K.
        (re.compile(r"(?<=[A-Za-z])-(?=\d)|(?<=\d)-(?=[A-Za-z])"), lambda match: " "),
        (
            re.compile(rf"(?P<before>[A-Za-z]?)(?P<number>{_NUMBER})(?P<after>[A-Za-z]?)"),
            lambda match: " ".join(filter(None, (match["before"], decimal(match["number"]), match["after"]))),
        ),
    ]
