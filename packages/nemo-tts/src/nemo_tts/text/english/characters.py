"""The characters of a text, made few: letters without accents, digits, common punctuation and symbols with a name."""

from __future__ import annotations

import re
import unicodedata

from nemo_tts.text.base import Dropped

__all__ = ["SPOKEN_SYMBOLS", "clean", "fold_accents", "tidy"]

#: Symbols that are words wherever no rule says otherwise.
SPOKEN_SYMBOLS = {
    **{"%": "percent", "&": "and", "@": "at", "#": "number", "+": "plus", "=": "equals", "<": "less than"},
    **{">": "greater than", "×": "times", "÷": "divided by", "±": "plus or minus", "−": "minus", "·": "times"},
    **{"≤": "less than or equal to", "≥": "greater than or equal to", "≠": "not equal to", "≈": "approximately"},
    **{"°": "degrees", "$": "dollar", "£": "pound", "€": "euro", "¥": "yen", "₹": "rupee", "¢": "cent", "₩": "won"},
    **{"©": "copyright", "®": "registered", "™": "trademark", "§": "section", "¶": "paragraph", "√": "square root of"},
    **{"∞": "infinity", "∑": "sum of", "π": "pi", "μ": "mu", "Ω": "ohm", "α": "alpha", "β": "beta", "γ": "gamma"},
    **{"Δ": "delta", "δ": "delta", "ε": "epsilon", "θ": "theta", "λ": "lambda", "σ": "sigma", "φ": "phi", "ω": "omega"},
    **{"/": "slash", "\\": "backslash", "_": "underscore", "^": "caret", "~": "tilde"},
}
PUNCTUATION = ",.!?-:;\"'()[]{}"

# Before NFKC, which would make digits of the first and letters of the others.
_BEFORE = {
    **{"²": " squared", "³": " cubed", "™": "™", "№": " number ", "℃": "°C", "℉": "°F", "µ": "μ", "ª": "a", "º": "°"},
    **{"’": "'", "‘": "'", "‚": "'", "‛": "'", "′": "'", "ʼ": "'", "`": "'", "´": "'"},
    **{"“": '"', "”": '"', "„": '"', "‟": '"', "″": '"', "«": '"', "»": '"', "‹": "'", "›": "'"},
    **{"‐": "-", "‑": "-", "‒": "-", "—": " - ", "―": " - ", "⸺": " - ", "–": "–"},
    **{"…": "...", "⁄": "/", "∕": "/", "¿": "", "¡": "", "\u200b": "", "\u00ad": "", "\ufeff": "", "\u2060": ""},
}
_BEFORE_TABLE = str.maketrans(_BEFORE)
# Letters that Unicode does not take apart into a letter and an accent.
_LETTERS = str.maketrans(
    {
        **{"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"},
        **{"đ": "d", "Đ": "D", "ð": "th", "Ð": "Th", "þ": "th", "Þ": "Th", "ı": "i", "ħ": "h", "Ħ": "H"},
    }
)
_KEPT = re.compile("[^A-Za-z0-9\\s" + re.escape(PUNCTUATION + "–" + "".join(SPOKEN_SYMBOLS)) + "]")
# A star is a word only between numbers, and an underscore in a name; elsewhere they are marks of emphasis, or notes.
_MARKUP = re.compile(r"(?<![\d) ])\*|(?<![\d)]) \*|\*(?! ?[\d(])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_BLANKS = re.compile(r"\s+")
_BEFORE_MARK = re.compile(r" +(?=[,.!?;:)\]}])")
_AFTER_BRACKET = re.compile(r"(?<=[(\[{]) +")


def fold_accents(text: str) -> str:
    """Return ``text`` with plain letters in place of accented ones.

    >>> fold_accents("Æsop ate a crème brûlée in Łódź")
    'AEsop ate a creme brulee in Lodz'
    """
    text = text.translate(_LETTERS)
    if text.isascii():
        return text
    # Only off Latin letters: a kana with its voicing mark or an Indic vowel sign is no accent.
    folded = []
    for character in text:
        base = unicodedata.normalize("NFD", character)[0]
        folded.append(base if base.isascii() and base.isalpha() else character)
    return "".join(folded)


def clean(text: str) -> tuple[str, list[Dropped]]:
    """Return ``text`` in NFKC with plain quotes, dashes and letters, and what was left out of it.

    >>> clean("“Fünf” … ☃")
    ('"Funf"...', [Dropped(character='☃', position=9, name='SNOWMAN')])
    """
    dropped: list[Dropped] = []
    text = unicodedata.normalize("NFC", text)
    marks = {match.end() - 1 for match in _MARKUP.finditer(text)}
    if text.isascii() and not marks and not _KEPT.search(text) and "*" not in text:
        return tidy(text.replace("`", "'")), dropped
    pieces: list[str] = []
    for position, character in enumerate(text):
        if position in marks:
            dropped.append(_dropped(character, position))
            pieces.append(" ")
            continue
        simple = _BEFORE.get(character, "" if not character.isascii() else character)
        if character == "*":
            simple = " times "
        elif not character.isascii():
            if pieces and character in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞" and pieces[-1][-1:].isdigit():
                pieces.append(" ")
            if character not in _BEFORE:
                simple = unicodedata.normalize("NFKC", character).translate(_BEFORE_TABLE)
            simple = fold_accents(simple)
        unknown = _KEPT.search(simple)
        if unknown is not None:
            dropped.append(_dropped(character, position))
            simple = _KEPT.sub(" ", simple)
        pieces.append(simple)
    cleaned = "".join(pieces)
    return tidy(cleaned), dropped


def _dropped(character: str, position: int) -> Dropped:
    return Dropped(character, position, unicodedata.name(character, f"U+{ord(character):04X}"))


def tidy(text: str) -> str:
    """Return ``text`` with single blanks, and none before a mark of punctuation.

    >>> tidy(" so  ( he said ) , then . ")
    'so (he said), then.'
    """
    return _AFTER_BRACKET.sub("", _BEFORE_MARK.sub("", _BLANKS.sub(" ", text))).strip()
