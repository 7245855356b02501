"""Syllables of Mandarin: their initials and finals, and how the International Phonetic Alphabet writes them."""

from __future__ import annotations

import re

from nemo_core.errors import DataError

__all__ = ["FINALS", "INITIALS", "TONES", "split_syllable", "syllable_to_ipa"]

#: Initials in capitals; ``^`` is that of a syllable that begins with its vowel. W and Y count as initials.
INITIALS = (
    *("^", "B", "C", "CH", "D", "F", "G", "H", "J", "K", "L", "M", "N", "P", "Q", "R", "S", "SH", "T", "W", "X", "Y"),
    *("Z", "ZH"),
)
#: Finals in capitals: the inventory of 24 that NVIDIA NeMo's Mandarin models use. Medials I, U and V stand alone.
FINALS = (
    *("A", "AI", "AN", "ANG", "AO", "E", "EI", "EN", "ENG", "ER", "I", "IE", "IN", "ING", "IU", "O", "ONG", "OU"),
    *("U", "UI", "UN", "V", "VE", "VN"),
)
#: High, rising, dipping, falling, neutral.
TONES = ("1", "2", "3", "4", "5")

_SYLLABLE = re.compile(
    r"(?P<initial>zh|ch|sh|[bpmfdtnlgkhjqxrzcswy]?)(?P<final>[aeiouvêng]+?)(?P<er>r?)(?P<tone>[1-5])"
)
_AFTER_MEDIAL = {"a": "A", "ai": "AI", "an": "AN", "ang": "ANG", "ao": "AO", "ong": "ONG", "o": "O"}
_WHOLE = {final.lower() for final in FINALS}
_FEW = {"hm": "hen", "hng": "heng", "m": "en", "n": "en", "ng": "nen", "ê": "ei"}  # grunts

_IPA_INITIALS = {
    **{"b": "p", "p": "pʰ", "m": "m", "f": "f", "d": "t", "t": "tʰ", "n": "n", "l": "l", "g": "k", "k": "kʰ", "h": "x"},
    **{"j": "tɕ", "q": "tɕʰ", "x": "ɕ", "zh": "ʈʂ", "ch": "ʈʂʰ", "sh": "ʂ", "r": "ʐ", "z": "ts", "c": "tsʰ", "s": "s"},
}
_IPA_FINALS = {
    **{"a": "a", "o": "wo", "e": "ɤ", "ai": "ai", "ei": "ei", "ao": "au", "ou": "ou", "an": "an", "en": "ən"},
    **{"ang": "aŋ", "eng": "əŋ", "ong": "ʊŋ", "er": "ɚ", "i": "i", "ia": "ja", "ie": "je", "iao": "jau", "iu": "jou"},
    **{"ian": "jɛn", "in": "in", "iang": "jaŋ", "ing": "iŋ", "iong": "jʊŋ", "u": "u", "ua": "wa", "uo": "wo"},
    **{"uai": "wai", "ui": "wei", "uan": "wan", "un": "wən", "uang": "waŋ", "v": "y", "ve": "ɥe", "van": "ɥɛn"},
    **{"vn": "yn", "ueng": "wəŋ", "uong": "wəŋ", "io": "jo", "vo": "wo"},
}
_SIBILANT_I = {**dict.fromkeys(("z", "c", "s"), "ɹ̩"), **dict.fromkeys(("zh", "ch", "sh", "r"), "ɻ̩")}
_IPA_TONES = {"1": "˥", "2": "˧˥", "3": "˨˩˦", "4": "˥˩", "5": ""}


def _parse(syllable: str) -> tuple[str, str, bool, str]:
    """Return initial, final, whether it ends in r, and tone of pinyin such as ``zhong1`` or ``huar1``."""
    base, tone = syllable[:-1], syllable[-1:]
    syllable = _FEW.get(base, base) + tone
    match = _SYLLABLE.fullmatch(syllable)
    if match is None:
        raise DataError(
            f"{syllable!r} is no syllable of Mandarin", hint="write it like zhong1: pinyin, tone from 1 to 5"
        )
    initial, final, rhotic = match["initial"], match["final"], bool(match["er"])
    if rhotic and final == "e" and not initial:
        final, rhotic = "er", False
    if initial in ("j", "q", "x", "y") and final.startswith("u"):
        final = "v" + final[1:]
    return initial, final, rhotic, tone


def split_syllable(syllable: str) -> tuple[str, ...]:
    """Return initial, medial if there is one, and final of a syllable, in capitals; an ``r`` behind it becomes ``ER``.

    Args:
        syllable: Pinyin in small letters with the tone as a digit: ``lv4``, ``huar1``.

    Raises:
        DataError: It is no syllable of Mandarin.

    >>> split_syllable("zhuang1"), split_syllable("an4"), split_syllable("xue2"), split_syllable("huar1")
    (('ZH', 'U', 'ANG'), ('^', 'AN'), ('X', 'VE'), ('H', 'U', 'A', 'ER'))
    """
    initial, final, rhotic, _ = _parse(syllable)
    if final in _WHOLE:
        parts: tuple[str, ...] = (final.upper(),)
    elif final[0] in "iuv" and final[1:] in _AFTER_MEDIAL:
        parts = (final[0].upper(), _AFTER_MEDIAL[final[1:]])
    else:
        raise DataError(f"{syllable!r} is no syllable of Mandarin: it has no final {final!r}")
    return (initial.upper() or "^", *parts, *(["ER"] if rhotic else []))


def syllable_to_ipa(syllable: str) -> str:
    """Return a syllable in IPA, letters of tone behind it.

    Raises:
        DataError: It is no syllable of Mandarin.

    >>> [syllable_to_ipa(each) for each in ("zhong1", "guo2", "shi4", "yuan2", "ma5")]
    ['ʈʂʊŋ˥', 'kwo˧˥', 'ʂɻ̩˥˩', 'ɥɛn˧˥', 'ma']
    """
    initial, final, rhotic, tone = _parse(syllable)
    if initial == "y":
        final = final if final[0] in "iv" else "i" + {"ou": "u"}.get(final, final)
        initial = ""
    elif initial == "w":
        final = final if final == "u" else "u" + {"ei": "i", "en": "n"}.get(final, final)
        initial = ""
    if final == "i" and initial in _SIBILANT_I:
        said = _SIBILANT_I[initial]
    elif final == "o" and initial in ("", "l", "m", "n") and initial != "m":
        said = "o"
    elif final in _IPA_FINALS:
        said = _IPA_FINALS[final]
    else:
        raise DataError(f"{syllable!r} is no syllable of Mandarin: it has no final {final!r}")
    return _IPA_INITIALS.get(initial, "") + said + ("ɚ" if rhotic else "") + _IPA_TONES[tone]
