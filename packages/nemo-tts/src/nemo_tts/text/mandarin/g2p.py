"""Mandarin text to sounds: words, readings that fit the context, tones as they are said, initials and finals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError
from nemo_tts.text.base import word_set
from nemo_tts.text.mandarin.polyphones import PolyphoneModel
from nemo_tts.text.mandarin.sandhi import apply_sandhi
from nemo_tts.text.mandarin.syllables import FINALS, INITIALS, TONES, split_syllable, syllable_to_ipa
from nemo_tts.text.mandarin.words import Word, is_chinese, split_words

if TYPE_CHECKING:
    from nemo_tts.text.english.g2p import EnglishG2p

__all__ = ["ChineseG2p"]

_NOTATIONS = ("phonemes", "ipa", "pinyin")
_READING = re.compile(r"[a-zê]+[1-5]")
# 儿 is a syllable of its own where it means a child.
_CHILD = word_set("女儿 婴儿 幼儿 孤儿 胎儿 健儿 少儿 男儿 宠儿 混血儿 新生儿 低能儿 弃儿 患儿 育儿 生儿 连体儿")


class ChineseG2p(Configured):
    """Turns Mandarin text, with English words in it or not, into the sounds it is read with.

    jieba cuts the text into words, pypinyin's dictionary of phrases reads them, and for 623 characters with several
    readings a model of the context decides (see ``docs/tts_text.md`` for how often each is right). Then tones change
    as they do in speech: third tones in a row, 不 and 一, doubled verbs, and 儿 that only colours a vowel.

    Args:
        notation: ``phonemes``: an initial, finals and a tone for each syllable (``#ZH #ONG #1``), the symbols of NVIDIA
            NeMo's models; ``ipa``: one symbol a character; ``pinyin``: a syllable (``zhong1``).
        phoneme_dict: A table of syllables in the place of the built-in one, as NVIDIA NeMo has them: a syllable, a tab
            and its phonemes on each line, comments after ``;;;``.
        phoneme_prefix: Written before initials and finals, so that no letter looks like one.
        tone_prefix: Written before tones.
        sandhi: Whether tones change as they do in speech; without, they are those of a dictionary.
        erhua: Whether 儿 colours the vowel before it; otherwise it is a syllable.
        polyphones: Whether the model of the context decides between readings; otherwise pypinyin alone does.
        english: ``letters``: English words come as small letters; ``phonemes``: as ARPABET or IPA, by
            :class:`~nemo_tts.text.english.EnglishG2p`.

    Raises:
        ConfigError: An argument makes no sense, or pypinyin or jieba is not installed.

    Example:
        >>> g2p = ChineseG2p("pinyin")
        >>> g2p("你好，一个银行。")
        ['ni2', 'hao3', '，', 'yi2', 'ge4', 'yin2', 'hang2', '。']
        >>> ChineseG2p()("中国 ok")
        ['#ZH', '#ONG', '#1', '#G', '#U', '#O', '#2', ' ', 'o', 'k']
    """

    def __init__(
        self,
        notation: str = "phonemes",
        phoneme_dict: str | Path | None = None,
        phoneme_prefix: str = "#",
        tone_prefix: str = "#",
        sandhi: bool = True,
        erhua: bool = True,
        polyphones: bool = True,
        english: str = "letters",
    ) -> None:
        if notation not in _NOTATIONS:
            raise ConfigError(f"g2p: notation is {notation!r}, not one of {', '.join(_NOTATIONS)}")
        if english not in ("letters", "phonemes"):
            raise ConfigError(f"g2p: english is {english!r}, not 'letters' or 'phonemes'")
        if phoneme_dict is not None and notation != "phonemes":
            raise ConfigError(f"g2p: a phoneme_dict says nothing where notation is {notation!r}")
        self.notation, self.english = notation, english
        self.phoneme_prefix, self.tone_prefix = phoneme_prefix, tone_prefix
        self.sandhi, self.erhua, self.polyphones = sandhi, erhua, polyphones
        self._content: bytes | None = None
        self._table: dict[str, tuple[str, ...]] = {}
        if phoneme_dict is not None:
            self._content, self._table = _read_table(Path(phoneme_dict))

    def artifacts(self) -> Mapping[str, bytes | Path]:
        """Return the table of syllables, if one was given, for an archive to keep."""
        return {} if self._content is None else {"phoneme_dict": self._content}

    @property
    def phoneme_list(self) -> list[str]:
        """Initials and finals with their prefix, sorted."""
        plain = {phone for phones in self._table.values() for phone in phones} or {*INITIALS, *FINALS}
        return sorted(self.phoneme_prefix + phone for phone in plain)

    @property
    def tone_list(self) -> list[str]:
        """Tones with their prefix."""
        return [self.tone_prefix + tone for tone in TONES]

    @property
    def symbols(self) -> Sequence[str]:
        """Every symbol of sounds that can come out, but for syllables of pinyin, which are too many to list."""
        from nemo_tts.text.english.phones import SYMBOLS, ipa_symbols

        if self.notation == "ipa":
            chinese = {symbol for syllable in _all_syllables() for symbol in syllable_to_ipa(syllable)}
            return sorted(chinese | (set(ipa_symbols()) if self.english == "phonemes" else set()))
        english = list(SYMBOLS) if self.english == "phonemes" else []
        return [] if self.notation == "pinyin" else [*self.phoneme_list, *self.tone_list, *english]

    def __call__(self, text: str) -> list[str]:
        """Return the symbols of ``text``.

        Args:
            text: Words, as a normaliser writes them. What is neither Chinese nor a letter comes through as it is.
        """
        symbols: list[str] = []
        for piece in self.syllables(text):
            if _READING.fullmatch(piece):
                symbols += self._written(piece)
            elif piece[:1].isascii() and piece[:1].isalpha():
                symbols += self._english(piece)
            else:
                symbols += piece
        return symbols

    def syllables(self, text: str) -> list[str]:
        """Return the pinyin of each syllable as it is said; runs of English and other characters between them.

        >>> ChineseG2p().syllables("花儿很好")
        ['huar1', 'hen2', 'hao3']
        """
        words = split_words(text)
        if self.polyphones:
            words = [_in_context(text, word) for word in words]
        readings = apply_sandhi(words, _is_word) if self.sandhi else [list(word.readings) for word in words]
        pieces: list[str] = []
        for word, said in zip(words, readings, strict=True):
            if self.erhua and _is_coloured(word):
                said = said[:-1]
                said[-1] = f"{said[-1][:-1]}r{said[-1][-1]}"
            pieces += said
        return _join_english(pieces)

    def _written(self, syllable: str) -> list[str]:
        if self.notation == "pinyin":
            return [syllable]
        if self.notation == "ipa":
            return list(syllable_to_ipa(syllable))
        base, tone = syllable[:-1], syllable[-1]
        if not self._table:
            phones = split_syllable(syllable)
        elif base in self._table:
            phones = self._table[base]
        elif base.endswith("r") and base[:-1] in self._table:
            phones = (*self._table[base[:-1]], *self._table.get("er", ())[-1:])
        else:
            raise ConfigError(f"g2p: the phoneme_dict has no syllable {base!r}")
        return [*(self.phoneme_prefix + phone for phone in phones), self.tone_prefix + tone]

    def _english(self, text: str) -> list[str]:
        if self.english == "letters":
            return list(text.lower())
        return _english_g2p("ipa" if self.notation == "ipa" else "arpabet")(text)


def _in_context(text: str, word: Word) -> Word:
    model = PolyphoneModel.shipped()
    if len(word.readings) != len(word.text):  # letters of other scripts
        return word
    return replace(word, readings=tuple(model.read(text, word, offset) for offset in range(len(word.text))))


def _is_coloured(word: Word) -> bool:
    ends = len(word.text) > 1 and word.text.endswith("儿") and word.text not in _CHILD
    return ends and all(is_chinese(character) for character in word.text[-2:])


def _join_english(pieces: Sequence[str]) -> list[str]:
    """Join letters to runs of English words, so that they are read as words."""
    joined: list[str] = []
    run = ""
    for piece in (*pieces, ""):
        if len(piece) == 1 and ((piece.isascii() and piece.isalpha()) or (run and piece in "' ")):
            run += piece
            continue
        words = run.rstrip("' ")
        joined += [words] * bool(words) + list(run[len(words) :])
        run = ""
        joined += [piece] * bool(piece)
    return joined


def _is_word(text: str) -> bool:
    import jieba

    jieba.initialize()
    return bool(jieba.dt.FREQ.get(text))


def _all_syllables() -> list[str]:
    initials = [initial.lower() for initial in INITIALS if initial != "^"]
    bases = ["a", "er", "ar", *(f"{initial}{final}" for initial in initials for final in ("i", "u", "ai", "ang", "en"))]
    bases += ["wo", "ye", "yue", "yuan", "yun", "yan", "yong", "lv", "lve", "guo", "shi", "de", "zhong"]
    found = []
    for base in bases:
        for tone in TONES:
            try:
                syllable_to_ipa(base + tone)
            except ValueError:
                continue
            found.append(base + tone)
    return found


def _read_table(path: Path) -> tuple[bytes, dict[str, tuple[str, ...]]]:
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"g2p: {path} cannot be read: {error}") from None
    table = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith(";;;"):
            continue
        syllable, tab, phones = line.partition("\t")
        if not tab or not phones.split():
            raise ConfigError(f"g2p: {path}, line {number}: a syllable, a tab and its phonemes are expected")
        table[syllable.lower()] = tuple(phones.upper().split() if phones.isascii() else phones.split())
    if not table:
        raise ConfigError(f"g2p: {path} has no syllables")
    return content, table


@cache
def _english_g2p(notation: str) -> EnglishG2p:
    from nemo_tts.text.english.g2p import EnglishG2p

    return EnglishG2p(notation)
