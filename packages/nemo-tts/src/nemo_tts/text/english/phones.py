"""The sounds of American English: ARPABET as CMUdict writes it, and how the International Phonetic Alphabet does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nemo_core.errors import DataError

__all__ = ["CONSONANTS", "IPA", "STRESSES", "SYMBOLS", "VOWELS", "ipa_symbols", "is_vowel", "to_ipa", "without_stress"]

VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANTS = (
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N"),
    *("NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH"),
)
#: The digit behind a vowel: no stress, primary, secondary.
STRESSES = ("0", "1", "2")
#: Every symbol of a pronunciation, consonants first.
SYMBOLS = (*CONSONANTS, *(vowel + stress for vowel in VOWELS for stress in STRESSES))

#: A symbol of ARPABET, without stress, in IPA.
IPA = {
    **{"AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AY": "aɪ", "EH": "ɛ", "ER": "ɝ", "EY": "eɪ"},
    **{"IH": "ɪ", "IY": "i", "OW": "oʊ", "OY": "ɔɪ", "UH": "ʊ", "UW": "u"},
    **{"B": "b", "CH": "tʃ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ", "K": "k", "L": "l"},
    **{"M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v"},
    **{"W": "w", "Y": "j", "Z": "z", "ZH": "ʒ"},
}
# Two vowels sound otherwise where no stress is on them.
_UNSTRESSED = {"AH0": "ə", "ER0": "ɚ"}
_MARKS = {"0": "", "1": "ˈ", "2": "ˌ"}


def is_vowel(symbol: str) -> bool:
    """Say whether ``symbol`` is a vowel, with stress or without.

    >>> is_vowel("AH0"), is_vowel("AH"), is_vowel("HH")
    (True, True, False)
    """
    return without_stress(symbol) in VOWELS


def without_stress(symbol: str) -> str:
    """Return ``symbol`` without the digit of its stress.

    >>> without_stress("EY2"), without_stress("K")
    ('EY', 'K')
    """
    return symbol[:-1] if symbol[-1:].isdigit() else symbol


def to_ipa(phones: Iterable[str]) -> list[str]:
    """Return the symbols of IPA for ``phones``: marks of stress before their vowel, each character one symbol.

    A mark stands right before the vowel and not before the syllable, as NVIDIA NeMo's dictionaries have it.

    Args:
        phones: Symbols of ARPABET, vowels with stress.

    Raises:
        DataError: One of them is no symbol of ARPABET.

    >>> "".join(to_ipa(["HH", "AH0", "L", "OW1"]))
    'həlˈoʊ'
    """
    symbols: list[str] = []
    for phone in phones:
        base = without_stress(phone)
        if base not in IPA:
            raise DataError(f"{phone!r} is no symbol of ARPABET", hint=f"the symbols are {' '.join(IPA)}")
        symbols += _MARKS[phone[-1]] if phone != base else ""
        symbols += _UNSTRESSED.get(phone, IPA[base])
    return symbols


def ipa_symbols() -> Sequence[str]:
    """Return every symbol that :func:`to_ipa` gives, sorted.

    >>> len(ipa_symbols())
    39
    """
    return sorted({symbol for phone in SYMBOLS for symbol in to_ipa([phone])})
