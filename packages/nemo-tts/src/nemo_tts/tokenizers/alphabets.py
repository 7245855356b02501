"""The letters and marks of languages, in the order that NVIDIA NeMo 2.7 numbers them: models depend on it."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean
from nemo_tts.tokenizers.base import PUNCTUATION

__all__ = ["ALPHABETS", "Alphabet", "alphabet", "punctuation"]

_QUOTES = str.maketrans({"’": "'", "“": '"', "”": '"'})
_GUILLEMETS = "«»‹›"
_LOCALE_MARKS = {
    "de": _GUILLEMETS + "„“‚‘‒–—",
    "es": _GUILLEMETS + "¿¡",
    "fr": (*_GUILLEMETS, *"–“”…", "\u0300", "\u0301", "\u0302", "\u0308", "\u0327"),
    "it": (*_GUILLEMETS, *"„“‚‘‒–—ʴʰʱʲʷˠˤ", "˞↓", *"↑→↗↘”’"),
}
_LATIN = string.ascii_lowercase
_VIETNAMESE = "đáàãảạăắằẵẳặâấầẫẩậóòõỏọôốồỗổộơớờỡởợéèẽẻẹêếềễểệúùũủụưứừữửựíìĩỉịýỳỹỷỵ"


def punctuation(language: str | None) -> tuple[str, ...]:
    """Return the marks of a language, sorted; without one, those of English.

    >>> punctuation("es")[-4:]
    ('»', '¿', '‹', '›')
    """
    return tuple(sorted({*PUNCTUATION, *_LOCALE_MARKS.get(language or "", "")}))


def _english(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(each for each in decomposed if unicodedata.category(each) != "Mn").translate(_QUOTES).lower()


def _cased(text: str) -> str:
    return unicodedata.normalize("NFC", text).replace("’", "'")


def _lower(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


@dataclass(frozen=True)
class Alphabet:
    """The letters of a language.

    Attributes:
        letters: In the order of their numbers.
        marks: Its punctuation, in the order of their numbers.
        prepare: Makes the text consist of them as far as it goes.
    """

    letters: str
    marks: tuple[str, ...]
    prepare: Callable[[str], str]


_GERMAN_UPPER = string.ascii_uppercase + "ÄÖÜẞ"
# Letters of IPA that models of German were trained with; the digits are marks of stress.
_GERMAN_IPA = "abdefhijklmnoprstuvwxyzçðøŋœɐɑɒɔəɛɜɡɪɹɾʃʊʌʒː\u0303" + "12"

#: What is known of each language, by its code.
ALPHABETS = {
    "en": Alphabet(_LATIN, PUNCTUATION, _english),
    "de": Alphabet(_GERMAN_UPPER + _GERMAN_UPPER.lower(), punctuation("de"), _cased),
    "es": Alphabet(_LATIN + "áéíñóúü", punctuation("es"), _lower),
    "fr": Alphabet(_LATIN + "àâäæçèéêëíîïñôöùûüōœ", punctuation("fr"), _lower),
    "it": Alphabet(_LATIN + "àèéìòùó", punctuation("it"), _lower),
    "vi": Alphabet(
        string.ascii_uppercase + _VIETNAMESE.upper() + string.ascii_lowercase + _VIETNAMESE, PUNCTUATION, _lower
    ),
    "de-ipa": Alphabet(_GERMAN_IPA, PUNCTUATION, _cased),
}


def alphabet(language: str) -> Alphabet:
    """Return the letters of a language.

    Raises:
        ConfigError: There are none for it.
    """
    if language not in ALPHABETS:
        known = did_you_mean(language, ALPHABETS) or f"there are {', '.join(ALPHABETS)}"
        raise ConfigError(f"tokenizer: no letters are known for the language {language!r}", hint=known)
    return ALPHABETS[language]
