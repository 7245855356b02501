"""English text to sounds: the dictionary, the context, the parts of a word, and at last its letters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError
from nemo_tts.text.english.characters import fold_accents
from nemo_tts.text.english.heteronyms import pronounce_heteronym
from nemo_tts.text.english.letter_to_sound import LetterToSound
from nemo_tts.text.english.lexicon import Lexicon, read_cmudict
from nemo_tts.text.english.morphology import derive
from nemo_tts.text.english.phones import SYMBOLS, ipa_symbols, is_vowel, to_ipa

__all__ = ["EnglishG2p"]

Phones = tuple[str, ...]

# Words with their inner apostrophes, sounds between bars, and everything else character by character.
_PARTS = re.compile(r"(?P<word>[A-Za-z]+(?:'[A-Za-z]+)*)|\|(?P<phones>[^|]*)\||(?P<other>.)", re.DOTALL)
_SENTENCE_ENDS = frozenset(".!?")
_NOTATIONS = ("arpabet", "ipa")
_LETTERS = {
    **{"A": "EY1", "B": "B IY1", "C": "S IY1", "D": "D IY1", "E": "IY1", "F": "EH1 F", "G": "JH IY1", "H": "EY1 CH"},
    **{"I": "AY1", "J": "JH EY1", "K": "K EY1", "L": "EH1 L", "M": "EH1 M", "N": "EH1 N", "O": "OW1", "P": "P IY1"},
    **{"Q": "K Y UW1", "R": "AA1 R", "S": "EH1 S", "T": "T IY1", "U": "Y UW1", "V": "V IY1"},
    **{"W": "D AH1 B AH0 L Y UW0", "X": "EH1 K S", "Y": "W AY1", "Z": "Z IY1"},
}


class EnglishG2p(Configured):
    """Turns English text into the sounds it is read with, American pronunciation.

    A word is looked up in CMUdict. One with several readings (*read*, *record*) is told apart by its neighbours; one
    that is not there may be made of words that are (*vlogs*, *unfollowed*); for the rest, the model of
    :class:`~nemo_tts.text.english.LetterToSound` reads the letters. ``the`` is said with its vowel before
    vowels, and a capital among capitals (``U S A``) by its name. Sounds between bars are taken as they are:
    ``say |T AH0 M AA1 T OW2|``.

    Args:
        notation: ``arpabet``, vowels with a digit for stress, or ``ipa``, one symbol a character.
        phoneme_dict: A dictionary in CMUdict's format instead of the one that comes with the package.
        phoneme_probability: Share of the words that become sounds where a random generator is given, as in training;
            others stay letters. None, and without a generator: all.
        lowercase_letters: Whether words that stay letters are written in small ones.

    Raises:
        ConfigError: An argument makes no sense, or the dictionary cannot be read.

    Example:
        >>> g2p = EnglishG2p()
        >>> g2p("Nemo's here.")
        ['N', 'EH1', 'M', 'OW0', 'Z', ' ', 'HH', 'IY1', 'R', '.']
        >>> "".join(EnglishG2p("ipa")("the apple"))
        'ði ˈæpəl'
    """

    def __init__(
        self,
        notation: str = "arpabet",
        phoneme_dict: str | Path | None = None,
        phoneme_probability: float | None = None,
        lowercase_letters: bool = True,
    ) -> None:
        if notation not in _NOTATIONS:
            raise ConfigError(f"g2p: notation is {notation!r}, not 'arpabet' or 'ipa'")
        if phoneme_probability is not None and not 0.0 <= phoneme_probability <= 1.0:
            raise ConfigError(f"g2p: phoneme_probability is {phoneme_probability}, not between 0 and 1")
        self.notation = notation
        self.phoneme_probability = phoneme_probability
        self.lowercase_letters = lowercase_letters
        self._content: bytes | None = None
        if phoneme_dict is not None:
            try:
                self._lexicon = Lexicon.of(read_cmudict(phoneme_dict))
                self._content = Path(phoneme_dict).read_bytes()
            except DataError as error:
                raise ConfigError(f"g2p: {error.message}") from None

    def artifacts(self) -> Mapping[str, bytes | Path]:
        """Return the dictionary, if one was given, for an archive to keep."""
        return {} if self._content is None else {"phoneme_dict": self._content}

    @property
    def lexicon(self) -> Lexicon:
        """The dictionary; the one of the package is read when it is first needed."""
        return Lexicon.shipped() if self._content is None else self._lexicon

    @property
    def symbols(self) -> Sequence[str]:
        """Every symbol of sounds that can come out."""
        return SYMBOLS if self.notation == "arpabet" else ipa_symbols()

    def __call__(self, text: str, random: Random | None = None) -> list[str]:
        """Return the symbols of ``text``.

        Args:
            text: Words, as a normaliser writes them. What is no letter comes through as it is, character by character.
            random: Chooses which words become sounds, if ``phoneme_probability`` is set.

        Raises:
            DataError: What stands between bars is no symbol of ARPABET.
        """
        parts = list(_PARTS.finditer(fold_accents(text).replace("’", "'")))
        words = [part["word"] for part in parts if part["word"]]
        symbols: list[str] = []
        place, starts = 0, True
        for number, part in enumerate(parts):
            if part["word"]:
                if self._stays(random):
                    symbols += part["word"].lower() if self.lowercase_letters else part["word"]
                else:
                    joined = number > 0 and parts[number - 1][0] == "'" and f"'{part['word']}".lower() in self.lexicon
                    if joined and symbols and symbols[-1] == "'":
                        symbols.pop()
                    spoken = self._word(words, place, starts, "'" * joined + part["word"])
                    symbols += self._written(spoken)
                place, starts = place + 1, False
            elif part["phones"] is not None:
                symbols += self._written(tuple(part["phones"].split()))
            else:
                symbols.append(part[0])
                starts = starts or part[0] in _SENTENCE_ENDS
        return symbols

    def pronounce(self, word: str) -> list[str]:
        """Return the sounds of one word alone, in the notation of this object.

        Raises:
            DataError: It has something that is no letter.

        >>> EnglishG2p().pronounce("zebra")
        ['Z', 'IY1', 'B', 'R', 'AH0']
        """
        found = self._known(word.lower()) or derive(word.lower(), self._known)
        return self._written(found or tuple(LetterToSound.shipped().pronounce(word.replace("'", ""))))

    def _stays(self, random: Random | None) -> bool:
        if random is None or self.phoneme_probability is None:
            return False
        return random.random() >= self.phoneme_probability

    def _written(self, phones: Phones) -> list[str]:
        unknown = next((phone for phone in phones if phone not in SYMBOLS), None)
        if unknown is not None:
            raise DataError(f"{unknown!r} is no symbol of ARPABET with stress", hint=f"those are {' '.join(SYMBOLS)}")
        return list(phones) if self.notation == "arpabet" else to_ipa(phones)

    def _known(self, word: str) -> Phones | None:
        found = self.lexicon.lookup(word)
        return found[0] if found else None

    def _word(self, words: Sequence[str], place: int, starts: bool, written: str) -> Phones:
        word = written.lower()
        if len(written) == 1 and written.isupper() and _is_letter_name(words, place, starts):
            return tuple(_LETTERS[written].split())
        if word == "the":
            following = words[place + 1] if place + 1 < len(words) else ""
            return ("DH", "IY0") if following and self._starts_with_vowel(following) else ("DH", "AH0")
        found = pronounce_heteronym(words, place, starts) if "'" not in word else None
        found = found or self._known(word) or derive(word, self._known)
        if found:
            return found
        letters = word.replace("'", "")
        if written.isupper() and (len(letters) <= 3 or not re.search("[aeiouy]", letters)):
            return tuple(phone for letter in letters.upper() for phone in _LETTERS[letter].split())
        return tuple(LetterToSound.shipped().pronounce(letters))

    def _starts_with_vowel(self, word: str) -> bool:
        known = self._known(word.lower()) or derive(word.lower(), self._known)
        return is_vowel(known[0]) if known else word[0].lower() in "aeiou"


def _is_letter_name(words: Sequence[str], place: int, starts: bool) -> bool:
    """Say whether a capital alone is the name of a letter; ``A`` and ``I`` may be words."""
    if words[place] not in "AI":
        return True
    neighbours = [words[near] for near in (place - 1, place + 1) if 0 <= near < len(words)]
    among = any(len(near) == 1 and near.isupper() and near not in "AI" for near in neighbours)
    return among or (words[place] == "A" and not starts)
