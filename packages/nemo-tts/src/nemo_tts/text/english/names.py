"""Abbreviations, acronyms, Roman numerals, addresses of the web: letters that are read as something else."""

from __future__ import annotations

import re
from collections.abc import Callable

from nemo_tts.text.base import word_set
from nemo_tts.text.english.numbers import cardinal, digits, ordinal

__all__ = ["abbreviation_rules", "acronym_rules", "electronic_rules", "roman_rules", "spell"]

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]

# With a point behind them; those of the second table without one as well, before a name.
_ABBREVIATIONS = {
    **{"Gen": "General", "Col": "Colonel", "Capt": "Captain", "Lt": "Lieutenant", "Sgt": "Sergeant", "Maj": "Major"},
    **{"Rev": "Reverend", "Hon": "Honorable", "Gov": "Governor", "Sen": "Senator", "Rep": "Representative"},
    **{"Pres": "President", "Jr": "Junior", "Sr": "Senior", "Inc": "Incorporated", "Ltd": "Limited", "Co": "Company"},
    **{"Corp": "Corporation", "Bros": "Brothers", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Mt": "Mount"},
    **{"Ft": "Fort", "Hwy": "Highway", "vs": "versus", "approx": "approximately", "dept": "department"},
    **{"Dept": "Department", "est": "established", "Est": "Established", "esp": "especially", "govt": "government"},
    **{"incl": "including", "max": "maximum", "min": "minimum", "misc": "miscellaneous", "tel": "telephone"},
    **{"temp": "temperature", "Univ": "University", "Assn": "Association", "Jan": "January", "Feb": "February"},
    **{"Aug": "August", "Sept": "September", "Oct": "October", "Nov": "November", "Dec": "December", "ca": "circa"},
}
_TITLES = {"Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Prof": "Professor", "Messrs": "Messieurs"}
_NUMBERED = {
    **{"No": "number", "no": "number", "Nos": "numbers", "nos": "numbers", "Vol": "volume", "vol": "volume"},
    **{"p": "page", "pp": "pages", "Fig": "figure", "fig": "figure", "ch": "chapter", "Ch": "chapter"},
    **{"sec": "section", "Sec": "section", "eq": "equation", "Eq": "equation", "pt": "part", "Pt": "part"},
}
_LATIN = {
    **{"e.g.": "for example", "i.e.": "that is", "et al.": "and others", "a.k.a.": "also known as", "c.f.": "compare"},
    **{"cf.": "compare", "viz.": "namely", "N.B.": "note well", "w/o": "without"},
}

# Read letter by letter though they could be said as words. What has no vowel needs no list.
_SPELLED = word_set(
    "AI API AC ATM BA BAE CEO CIA CIO COO CPU DIY DUI EU FAQ FBI GPU HIV HQ IBM ID IE IMF IO IOU IP IPO IQ IRA IRS ISO "
    "IT IV MBA MIT MRI OS PA QA SEO SOS SUV UAE UCLA UFO UI UK UN URL US USA USB USSR UV UX VIP AM FM IPA ICU IVF AA "
    "ABC OECD ESPN"
)
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def spell(text: str) -> str:
    """Return the letters and digits of ``text`` one by one, letters in capitals.

    >>> spell("mp3")
    'M P three'
    """
    return " ".join(digits(each) if each.isdigit() else each.upper() for each in text if each.isalnum())


_SENTENCE_ENDS = re.compile(r"[\"')\]]*(?:\s+[\"'(\[]?[A-Z]|\s*$)")


def _ends_sentence(match: re.Match[str]) -> str:
    """Return the point that an abbreviation shares with its sentence, if it ends one."""
    return "." if _SENTENCE_ENDS.match(match.string, match.end()) else ""


# Behind "Main St." these are not what a saint is called.
_SENTENCE_STARTS = (
    "The|He|She|It|We|They|You|I|A|An|In|On|At|My|His|Her|Our|Your|Their|But|And|This|That|There|Mr|Mrs|Ms|When|If|St|"
    "Dr"
)
_STREETS = {"St": "Street", "Dr": "Drive", "Ln": "Lane", "Sq": "Square"}


def _street(match: re.Match[str]) -> str:
    return f" {_STREETS[match['what']]}" + _ends_sentence(match) * match[0].endswith(".")


def abbreviation_rules() -> list[Rule]:
    """Return the rules of abbreviations."""
    return [
        (
            re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, _LATIN))})(?!\w)"),
            lambda match: _LATIN[match[0]],
        ),
        (re.compile(r"(?<![\w.])w/(?= ?[a-z])"), lambda match: "with "),
        (re.compile(r"\b[Ee]tc\b\.?"), lambda match: "et cetera" + _ends_sentence(match) * match[0].endswith(".")),
        (re.compile(r"\bPh\. ?D\.?(?!\w)"), lambda match: "P H D"),
        (re.compile(rf"(?<=\w) (?P<what>{'|'.join(_STREETS)})\b\.?(?=[,;)]|$| (?:{_SENTENCE_STARTS})\b)"), _street),
        (re.compile(r"\bSt\b\.?(?= [A-Z])"), lambda match: "Saint"),
        (re.compile(r"\bSt\.(?= [a-z])"), lambda match: "Street"),
        (re.compile(r"\bDr\b\.?(?= [A-Z])"), lambda match: "Doctor"),
        (re.compile(r"\bDr\.(?= [a-z])"), lambda match: "Drive"),
        (re.compile(rf"\b({'|'.join(_TITLES)})(?:\.|(?= [A-Z]))"), lambda match: _TITLES[match[1]]),
        (
            re.compile(rf"\b({'|'.join(_NUMBERED)})\.(?= ?\d)"),
            lambda match: _NUMBERED[match[1]] + " " * (match.string[match.end() : match.end() + 1] != " "),
        ),
        (
            re.compile(rf"(?<![\w.])({'|'.join(_ABBREVIATIONS)})\.(?!\w)"),
            lambda match: _ABBREVIATIONS[match[1]] + _ends_sentence(match) * (match[1] in _CLOSING),
        ),
    ]


# Abbreviations that can be the last word of a sentence; before names a capital ends none.
_CLOSING = word_set(
    "Jr Sr Inc Ltd Co Corp Bros Ave Blvd Rd Hwy dept Dept max min misc govt Univ Assn Jan Feb Aug Sept Oct Nov Dec"
)


def _acronym(match: re.Match[str]) -> str:
    word, ending = match["word"], match["ending"] or ""
    if word in _SPELLED or (2 <= len(word) <= 5 and not re.search("[AEIOUY]", word)):
        return spell(word) + ("'s" if ending else "")
    return match[0]


def _dotted(match: re.Match[str]) -> str:
    return spell(match[0]) + _ends_sentence(match)


def acronym_rules() -> list[Rule]:
    """Return the rules of acronyms: which are spelled; others are words to be looked up."""
    return [
        (re.compile(r"(?<![\w.])(?:[A-Za-z]\.){2,}+(?!\w)"), _dotted),
        (
            re.compile(r"(?<![\w'-])([A-Z]{1,3})&([A-Z]{1,3})(?!\w)"),
            lambda match: f"{spell(match[1])} and {spell(match[2])}",
        ),
        (re.compile(r"(?<![\w'-])(?P<word>[A-Z]{2,6})(?P<ending>'?s)?(?![\w'])(?!-[A-Z])"), _acronym),
    ]


def _value(numeral: str) -> int:
    values = [_ROMAN[letter] for letter in numeral]
    return sum(-value if value < after else value for value, after in zip(values, [*values[1:], 0], strict=True))


# One letter may be a pronoun or an initial: "Henry I think", "James V. Smith".
_NUMERAL = r"(?=[IVXL])(?!I [a-z]|L\b)(?>(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3}))"
_THINGS = (
    "Chapter|Part|Book|Volume|Section|Act|Scene|Phase|Type|Class|Appendix|Article|Title|Unit|Level|Stage|Grade|"
    "World War|Super Bowl|Final Fantasy|Rocky|Mark|Apollo|Vatican|Episode|Division|Game|Group|Category|Schedule|Table|"
    "chapter|part|book|volume|section|act|scene|phase|type|class|appendix|article|unit|level|stage|grade|episode"
)
_RULERS = (
    "Alexander|Alfonso|Benedict|Boniface|Catherine|Charles|Christian|Clement|Constantine|David|Edward|Elizabeth|Felipe|"
    "Ferdinand|Francis|Frederick|George|Gregory|Gustav|Harald|Henry|Innocent|Ivan|James|John|John Paul|Joseph|Julius|"
    "Leo|Leopold|Louis|Ludwig|Malcolm|Mary|Maximilian|Mehmed|Murad|Napoleon|Nicholas|Otto|Paul|Peter|Philip|Pius|"
    "Ramesses|Ramses|Richard|Robert|Rudolf|Selim|Stephen|Suleiman|Sixtus|Thutmose|Urban|Victor|Wilhelm|William"
)


def roman_rules() -> list[Rule]:
    """Return the rules of Roman numerals: behind the names of rulers, and behind what is counted."""
    return [
        (
            re.compile(rf"\b(?P<name>{_RULERS}) (?P<numeral>{_NUMERAL})(?P<ending>'s)?\b(?!')(?!\.\w)"),
            lambda match: f"{match['name']} the {ordinal(_value(match['numeral']))}{match['ending'] or ''}",
        ),
        (
            re.compile(rf"\b(?P<thing>{_THINGS}) (?P<numeral>{_NUMERAL})\b(?!')(?!\.\w)"),
            lambda match: f"{match['thing']} {cardinal(_value(match['numeral']))}",
        ),
    ]


_SAID = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon", "?": "question mark"}
_SAID |= {"=": "equals", "&": "and", "#": "hash", "%": "percent", "+": "plus", "~": "tilde"}
_WORDS = {"com", "org", "net", "edu", "gov", "info", "dev", "blog"}
_PART = re.compile(r"[A-Za-z]+|\d+|[^A-Za-z\d]")


def _address(text: str) -> str:
    words = []
    for part in _PART.findall(text):
        if part.isdigit():
            words.append(cardinal(part) if len(part) < 3 else digits(part))
        elif part.isalpha():
            spelled = part.lower() not in _WORDS and (len(part) < 3 or not re.search("[aeiouy]", part.lower()))
            words.append(spell(part) if spelled else part)
        elif part in _SAID:
            words.append(_SAID[part])
    return " ".join(words)


def _url(match: re.Match[str]) -> str:
    scheme, address = match["scheme"] or "", match["address"]
    words = _address(address.rstrip("/"))
    return " ".join(filter(None, (spell(scheme), words)))


def electronic_rules() -> list[Rule]:
    """Return the rules of e-mail addresses, addresses of the web, and tags."""
    ends = r"com|org|net|edu|gov|info|io|ai|dev|co\.uk|uk|de|fr|eu|cn|jp|ca|au|us|tv|me"
    return [
        (
            re.compile(r"(?<![\w.+-])[A-Za-z0-9_][\w.+-]*+@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)++"),
            lambda match: _address(match[0]),
        ),
        (
            re.compile(r"\b(?P<scheme>https?://|ftp://)(?P<address>[^\s,;!\"'()<>\[\]{}]*[^\s,;!?.:\"'()<>\[\]{}])"),
            _url,
        ),
        (
            re.compile(
                rf"(?<![\w.@/-])(?P<scheme>)(?P<address>(?:www\.[\w.-]*\w|[A-Za-z0-9][A-Za-z0-9-]*+"
                rf"(?:\.[A-Za-z0-9-]++)*?\.(?:{ends}))(?:/[\w./%&=~+-]*[\w/])?)(?![\w@])(?!\.\w)"
            ),
            _url,
        ),
        (re.compile(r"(?<!\w)#(?=[A-Za-z])"), lambda match: "hashtag "),
    ]
