"""Words made of known words: ``nemo's``, ``vlogging``, ``unfollowed``, ``screenwriter``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nemo_tts.text.english.phones import is_vowel

__all__ = ["derive", "with_d", "with_s"]

Phones = tuple[str, ...]
Lookup = Callable[[str], "Phones | None"]

_HISSING = frozenset(("S", "Z", "SH", "ZH", "CH", "JH"))
_VOICELESS = frozenset(("P", "T", "K", "F", "TH", "S", "SH", "CH", "HH"))
_SUFFIXES: dict[str, Phones] = {
    **{"ing": ("IH0", "NG"), "er": ("ER0",), "est": ("AH0", "S", "T"), "ly": ("L", "IY0"), "ness": ("N", "AH0", "S")},
    **{"less": ("L", "AH0", "S"), "ful": ("F", "AH0", "L"), "ment": ("M", "AH0", "N", "T"), "ish": ("IH0", "SH")},
    **{"able": ("AH0", "B", "AH0", "L"), "ism": ("IH2", "Z", "AH0", "M"), "ist": ("AH0", "S", "T"), "y": ("IY0",)},
    **{"like": ("L", "AY2", "K"), "ship": ("SH", "IH2", "P"), "wise": ("W", "AY2", "Z"), "hood": ("HH", "UH2", "D")},
}
_PREFIXES: dict[str, Phones] = {
    **{
        "un": ("AH0", "N"),
        "re": ("R", "IY0"),
        "non": ("N", "AA0", "N"),
        "pre": ("P", "R", "IY0"),
        "mis": ("M", "IH0", "S"),
    },
    **{"anti": ("AE2", "N", "T", "IY0"), "over": ("OW2", "V", "ER0"), "super": ("S", "UW2", "P", "ER0")},
    **{"sub": ("S", "AH0", "B"), "inter": ("IH2", "N", "T", "ER0"), "micro": ("M", "AY2", "K", "R", "OW0")},
    **{"multi": ("M", "AH2", "L", "T", "IY0"), "under": ("AH2", "N", "D", "ER0"), "out": ("AW2", "T")},
}
_SHORTEST_PART = 4


def with_s(phones: Phones) -> Phones:
    """Return ``phones`` with the sound of a plural, a possessive or a third person behind them.

    >>> with_s(("K", "AE1", "T")), with_s(("D", "AO1", "G"))[-1], with_s(("B", "AH1", "S"))[-2:]
    (('K', 'AE1', 'T', 'S'), 'Z', ('IH0', 'Z'))
    """
    last = phones[-1]
    return (*phones, "IH0", "Z") if last in _HISSING else (*phones, "S" if last in _VOICELESS else "Z")


def with_d(phones: Phones) -> Phones:
    """Return ``phones`` with the sound of a past tense behind them.

    >>> with_d(("W", "AO1", "K"))[-1], with_d(("K", "AO1", "L"))[-1], with_d(("N", "IY1", "D"))[-2:]
    ('T', 'D', ('IH0', 'D'))
    """
    last = phones[-1]
    return (*phones, "IH0", "D") if last in ("T", "D") else (*phones, "T" if last in _VOICELESS else "D")


def derive(word: str, lookup: Lookup) -> Phones | None:
    """Return the sounds of a word that is made of known ones.

    Args:
        word: In small letters; may have apostrophes.
        lookup: Gives the sounds of a known word.

    Returns:
        The sounds; None if the word is not made of known ones.

    Example:
        >>> known = {"vlog": ("V", "L", "AA1", "G"), "screen": ("S", "K", "R", "IY1", "N"), "read": ("R", "IY1", "D")}
        >>> " ".join(derive("vlogging", known.get))
        'V L AA1 G IH0 NG'
        >>> " ".join(derive("screenreads", known.get))
        'S K R IY1 N R IY2 D Z'
    """
    return _inflected(word, lookup) or _affixed(word, lookup) or _compound(word, lookup)


def _inflected(word: str, lookup: Lookup) -> Phones | None:
    for ending, suffixed in (("'s", with_s), ("s'", with_s), ("n't", _with_nt), ("'ll", _with_ll), ("'d", with_d)):
        if word.endswith(ending) and len(word) > len(ending):
            stem = word[: -len(ending)]
            known = lookup(stem) or derive(stem, lookup) if "'" not in stem else None
            return suffixed(known) if known else None
    if "'" in word:
        return None
    if word.endswith("s") and not word.endswith("ss"):
        stems = [word[:-1]]
        stems += [word[:-2]] if word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")) else []
        stems += [word[:-3] + "y"] if word.endswith("ies") else []
        known = _first(stems, lookup) or (_affixed(word[:-1], lookup) or _compound(word[:-1], lookup))
        return with_s(known) if known else None
    if word.endswith("ed"):
        known = _first(_stems(word[:-2]), lookup) or _compound(word[:-2], lookup)
        return with_d(known) if known else None
    return None


def _with_nt(phones: Phones) -> Phones:
    return (*phones, "AH0", "N", "T")


def _with_ll(phones: Phones) -> Phones:
    return (*phones, "AH0", "L")


def _stems(start: str) -> Iterator[str]:
    """Go through what a stem may have been before an ending with a vowel: ``stopp`` was ``stop``, ``lov`` ``love``."""
    if len(start) < 3:
        return
    if start[-1] == start[-2] and start[-1] not in "aeiouls":
        yield start[:-1]
    yield start
    yield start + "e"
    if start.endswith("i"):
        yield start[:-1] + "y"
    if start[-1] == start[-2]:
        yield start[:-1]


def _first(stems: Iterator[str] | list[str], lookup: Lookup) -> Phones | None:
    return next((known for stem in stems if len(stem) > 2 and (known := lookup(stem))), None)


def _affixed(word: str, lookup: Lookup) -> Phones | None:
    for suffix, sounds in _SUFFIXES.items():
        start = word[: -len(suffix)]
        if word.endswith(suffix) and len(start) > 2:
            stems = _stems(start) if suffix[0] in "aeiy" else [start, start[:-1] + "y" if start[-1] == "i" else start]
            known = _first(stems, lookup)
            if known and not (suffix == "y" and is_vowel(known[-1])):
                return known + sounds
    for prefix, sounds in _PREFIXES.items():
        rest = word[len(prefix) :]
        if word.startswith(prefix) and len(rest) >= _SHORTEST_PART:
            known = lookup(rest) or _inflected(rest, lookup)
            if known:
                return sounds + known
    return None


def _compound(word: str, lookup: Lookup) -> Phones | None:
    """Return the sounds of two known words written as one; of several cuts the most even one."""
    cuts = range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1)
    for cut in sorted(cuts, key=lambda cut: abs(2 * cut - len(word))):
        first, second = lookup(word[:cut]), lookup(word[cut:])
        if first and second:
            return first + tuple(phone.replace("1", "2") for phone in second)
    return None
