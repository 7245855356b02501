"""Words to sounds of any language, by a dictionary in the International Phonetic Alphabet."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError

if TYPE_CHECKING:
    from random import Random

__all__ = ["IpaG2p"]

_CASES = ("upper", "lower", "mixed")
_STRESS = "ˈˌ"
_VARIANT = re.compile(r"\(\d+\)$")
_PARTS = re.compile(r"(?P<word>'?[^\W\d_]+(?:['’-][^\W\d_]+)*)|.", re.DOTALL)


class IpaG2p(Configured):
    r"""Looks words up; what is not there, or there with several pronunciations, stays in letters.

    NVIDIA NeMo's models of German, Spanish and British English were trained so, letters being tokens of their own.

    Args:
        phoneme_dict: A word, blanks and its sounds in IPA on each line (``WIRE  ˈwaɪɚ``); variants as ``WIRE(2)``;
            lines that begin with no letter are comments.
        locale: Such as ``de-DE``; in ``en-US`` an ``'s`` is put behind known words.
        use_chars: Whether letters can come out; they can wherever there is a ``phoneme_probability``.
        phoneme_probability: How often a word becomes sounds in training, from 0 to 1; None: always.
        use_stresses: Whether ``ˈ`` and ``ˌ`` come out.
        grapheme_case: ``upper``, ``lower`` or ``mixed``: how letters come out and words are looked up.
        grapheme_prefix: Written before letters, so that none looks like a sound.
        ignore_ambiguous_words: Whether words with several pronunciations stay in letters; otherwise the first is taken.
        heteronyms: A file of words, one a line, that stay in letters whatever the dictionary says.

    Raises:
        ConfigError: An argument makes no sense, or the dictionary has no words or a line that says nothing.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "de.dict"
        >>> _ = path.write_text("HALLO  haˈloː\nWELT  vɛlt\n", encoding="utf-8")
        >>> "".join(IpaG2p(path, use_chars=True)("Hallo, neue Welt!"))
        'haˈloː, NEUE vɛlt!'
    """

    #: Tokenizers need not add letters to what :attr:`symbols` says.
    lists_letters = True

    def __init__(
        self,
        phoneme_dict: str | Path,
        locale: str | None = "en-US",
        use_chars: bool = False,
        phoneme_probability: float | None = None,
        use_stresses: bool = True,
        grapheme_case: str = "upper",
        grapheme_prefix: str = "",
        ignore_ambiguous_words: bool = True,
        heteronyms: str | Path | None = None,
    ) -> None:
        if grapheme_case not in _CASES:
            raise ConfigError(f"g2p: grapheme_case is {grapheme_case!r}, not one of {', '.join(_CASES)}")
        if phoneme_probability is not None and not 0.0 <= phoneme_probability <= 1.0:
            raise ConfigError(f"g2p: phoneme_probability is {phoneme_probability}, not between 0 and 1")
        self.locale, self.grapheme_case, self.grapheme_prefix = locale, grapheme_case, grapheme_prefix
        self.phoneme_probability = phoneme_probability
        self.use_chars = use_chars or phoneme_probability is not None
        self.use_stresses, self.ignore_ambiguous_words = use_stresses, ignore_ambiguous_words
        self._content = _read(phoneme_dict)
        self._words = self._parsed(self._content, str(phoneme_dict))
        self._letters = b"" if heteronyms is None else _read(heteronyms)
        self._heteronyms = {self._cased(line.strip()) for line in _text(self._letters, str(heteronyms)).splitlines()}

    def artifacts(self) -> Mapping[str, bytes | Path]:
        """Return the dictionary, and the list of heteronyms if there is one, for an archive to keep."""
        return dict(self.contents())

    def contents(self) -> dict[str, bytes]:
        """Return the files that it was made from, by argument."""
        return {"phoneme_dict": self._content} | ({"heteronyms": self._letters} if self._letters else {})

    @property
    def symbols(self) -> Sequence[str]:
        """Every symbol that can come out, sorted: those of the dictionary, and the letters of its words."""
        found = {symbol for sounds in self._words.values() for each in sounds for symbol in each}
        if self.use_chars:
            letters = {letter for word in self._words for letter in word if letter.isalnum()}
            found |= {self.grapheme_prefix + letter for letter in letters}
        return sorted(found)

    def __call__(self, text: str, random: Random | None = None) -> list[str]:
        """Return the symbols of ``text``.

        Args:
            text: Words, as a normaliser writes them. What is no letter comes through as it is, character by character.
            random: Chooses which words become sounds, if ``phoneme_probability`` is set; without one, all that can.
        """
        symbols: list[str] = []
        for part in _PARTS.finditer(unicodedata.normalize("NFC", text)):
            word = part["word"]
            symbols += self._word(word.replace("’", "'"), random) if word else part[0]
        return symbols

    def _word(self, written: str, random: Random | None) -> list[str]:
        word = self._cased(written)
        mixes = random is not None and self.phoneme_probability is not None
        if mixes and random is not None and random.random() > (self.phoneme_probability or 0.0):
            return self._spelled(word)
        found = self._lookup(word)
        if found is None and "-" in word:
            parts = [self._lookup(part) or self._spelled(part) for part in word.split("-")]
            return [symbol for number, part in enumerate(parts) for symbol in (["-"] if number else []) + part]
        return found or self._spelled(word)

    def _lookup(self, word: str) -> list[str] | None:
        if word in self._heteronyms:
            return None
        found = self._words.get(word) or (self._words.get(word.upper()) if self.grapheme_case == "mixed" else None)
        if found:
            return list(found[0]) if len(found) == 1 or not self.ignore_ambiguous_words else None
        if self.locale == "en-US" and word.lower().endswith("'s"):
            stem = self._lookup(word[:-2])
            ending = {"t": "s", "s": "ɪz"}.get(word[-3:-2].lower(), "z")
            return None if stem is None else [*stem, *ending]
        return None

    def _spelled(self, word: str) -> list[str]:
        return [self.grapheme_prefix + letter if letter.isalpha() else letter for letter in word]

    def _cased(self, word: str) -> str:
        return {"upper": word.upper(), "lower": word.lower(), "mixed": word}[self.grapheme_case]

    def _parsed(self, content: bytes, where: str) -> dict[str, list[str]]:
        words: dict[str, list[str]] = {}
        for number, line in enumerate(unicodedata.normalize("NFC", _text(content, where)).splitlines(), start=1):
            if not line[:1].isalpha() and line[:1] != "'":
                continue
            word, *sounds = line.split()
            if not sounds:
                raise ConfigError(f"g2p: {where}, line {number}: {word!r} has no sounds")
            said = "".join(sounds)
            said = said if self.use_stresses else said.translate(dict.fromkeys(map(ord, _STRESS)))
            words.setdefault(self._cased(_VARIANT.sub("", word)), []).append(said)
        if not words:
            raise ConfigError(f"g2p: {where} has no words")
        return words


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"g2p: {path} cannot be read: {error.strerror}") from None


def _text(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"g2p: {where} is not UTF-8: {error}") from None
