"""English text in words: the rules, one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError
from nemo_tts.text.base import Dropped, Normalized, warn_dropped
from nemo_tts.text.english.amounts import amount_rules, number_rules, telephone_rules
from nemo_tts.text.english.characters import SPOKEN_SYMBOLS, clean, tidy
from nemo_tts.text.english.dates import date_rules, time_rules
from nemo_tts.text.english.names import abbreviation_rules, acronym_rules, electronic_rules, roman_rules

__all__ = ["EnglishNormalizer"]

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]
_DATE_ORDERS = ("mdy", "dmy")
# What a rule makes can be what another one reads ("A.B. IV" becomes "A B IV"); no text seen needs more than two rounds.
_ROUNDS = 4


class EnglishNormalizer(Configured):
    """Writes English text the way it is spoken.

    Rules, each one pattern, turn numbers, years, dates, times of day, money, measures, fractions, telephone numbers,
    abbreviations, acronyms, Roman numerals and addresses of the web into words. Letters keep their case; accents,
    curly quotes and the like become plain. What is left are letters, blanks and ``, . ! ? - : ; " ' ( ) [ ] { }``.

    What nobody can speak, such as an emoji or a letter of another script, is left out, which :meth:`analyze` reports
    and :meth:`normalize` logs as one warning. A text that has been normalised stays as it is.

    Args:
        dates: How ``5/4/2021`` is meant: ``mdy``, May 4th, or ``dmy``, the 5th of April.

    Example:
        >>> normalizer = EnglishNormalizer()
        >>> normalizer.normalize("Dr. Smith paid $3.50 on May 4th, 2021 at 3:30 pm.")
        'Doctor Smith paid three dollars and fifty cents on May fourth, twenty twenty one at three thirty P M.'
        >>> normalizer.analyze("Nice 👍").dropped[0].name
        'THUMBS UP SIGN'
    """

    def __init__(self, dates: str = "mdy") -> None:
        if dates not in _DATE_ORDERS:
            raise ConfigError(f"normalizer: dates is {dates!r}, not 'mdy' or 'dmy'")
        self.dates = dates
        self._rules = _rules(dates)

    def __reduce__(self) -> tuple[type[EnglishNormalizer], tuple[str]]:
        return type(self), (self.dates,)  # rules are patterns and functions, which do not travel

    def normalize(self, text: str) -> str:
        """Return ``text`` in words."""
        found = self.analyze(text)
        warn_dropped(found.dropped)
        return found.text

    def analyze(self, text: str) -> Normalized:
        """Return ``text`` in words, and the characters that could not be said."""
        dropped: list[Dropped] = []
        for _ in range(_ROUNDS):
            before = text
            text, lost = clean(text)
            dropped += lost
            for pattern, spoken in self._rules:
                text = pattern.sub(spoken, text)
            text = tidy(text)
            if text == before:
                break
        return Normalized(text, tuple(dropped))


_SYMBOL = re.compile("|".join(re.escape(symbol) for symbol in SPOKEN_SYMBOLS))
_REMAINING: list[Rule] = [
    (re.compile(r"(?<=[A-Za-z])–(?=[A-Za-z])"), lambda match: "-"),
    (re.compile("–"), lambda match: " - "),
    (re.compile(r"\b([Aa]nd)/or\b"), lambda match: f"{match[1]} or"),
    (_SYMBOL, lambda match: f" {SPOKEN_SYMBOLS[match[0]]} "),
    (re.compile(r"([,;:!?-])(?:[ ]*\1)+"), lambda match: match[1]),
    (re.compile(r"\.{4,}|(?<!\.)\.\.(?!\.)"), lambda match: "..."),
    (re.compile(r"-(?=[,.!?;:])"), lambda match: ""),
]


def _rules(dates: str) -> list[Rule]:
    return [
        *electronic_rules(),
        *telephone_rules(),
        *time_rules(),
        *abbreviation_rules(),
        *date_rules(dates),
        *amount_rules(),
        *number_rules(),
        *roman_rules(),
        *acronym_rules(),
        *_REMAINING,
    ]
