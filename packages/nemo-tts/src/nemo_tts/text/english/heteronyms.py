"""Words that are spelled alike and said differently, told apart by the words around them.

A word has a *usual* reading and others that a rule asks for: a verb behind ``to`` or a pronoun, a noun behind an
article, a past tense behind ``have``, or what a neighbour says (``lead pipe``, ``live music``). The rules look at the
two words before and the one after; they are no parser, and where nothing speaks for another reading the usual one is
taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nemo_tts.text.base import word_set
from nemo_tts.text.english.morphology import with_d, with_s

__all__ = ["Heteronym", "heteronyms", "pronounce_heteronym"]

Phones = tuple[str, ...]

_TO_VERB = word_set(
    "to will would can could shall should may might must do does did don't doesn't didn't won't can't cannot "
    "couldn't wouldn't shouldn't i you we they who let's please i'll you'll we'll they'll he'll she'll it'll i'd "
    "you'd we'd they'd let help gonna"
)
_TO_NOUN = word_set(
    "the a an this that these those my your his her its our their some any no every each of in on at by with for from "
    "another new old good bad first last next own one two three world what whose which into under about and's more "
    "personal public great big small long short high low best free main"
)
_AUXILIARY = word_set("have has had having was were been be being is are am i've you've we've they've i'd")
_BE = word_set("is are was were be been being am i'm you're we're they're he's she's it's feel feels felt very so")
_DETERMINER = word_set("the a an this that these those my your his her its our their me him us them it all")
_SKIPPED = word_set("not also never always ever often even still just only both really already almost once yet")


@dataclass(frozen=True)
class Heteronym:
    """The readings of one spelling.

    Attributes:
        usual: Where nothing speaks for another one.
        noun: As a noun (and, for some words, adjective).
        verb: As a verb.
        past: As a past tense or participle.
        state: Behind ``is``, ``was``, ``very`` and the like.
        capital: With a capital letter inside a sentence.
        after: Readings that a word right before asks for.
        before: Readings that a word right behind asks for.
    """

    usual: Phones
    noun: Phones | None = None
    verb: Phones | None = None
    past: Phones | None = None
    state: Phones | None = None
    capital: Phones | None = None
    after: dict[str, Phones] = field(default_factory=dict)
    before: dict[str, Phones] = field(default_factory=dict)


def _p(text: str) -> Phones:
    return tuple(text.split())


# noun or adjective, verb; the usual one first if it is the verb (marked by "v").
_NOUN_AND_VERB = {
    "abuse": ("AH0 B Y UW1 S", "AH0 B Y UW1 Z"),
    "addict": ("AE1 D IH0 K T", "AH0 D IH1 K T"),
    "address": ("AE1 D R EH2 S", "AH0 D R EH1 S"),
    "advocate": ("AE1 D V AH0 K AH0 T", "AE1 D V AH0 K EY2 T"),
    "affect": ("AE1 F EH0 K T", "AH0 F EH1 K T", "v"),
    "alternate": ("AO1 L T ER0 N AH0 T", "AO1 L T ER0 N EY2 T"),
    "appropriate": ("AH0 P R OW1 P R IY0 AH0 T", "AH0 P R OW1 P R IY0 EY2 T"),
    "approximate": ("AH0 P R AA1 K S AH0 M AH0 T", "AH0 P R AA1 K S AH0 M EY2 T"),
    "articulate": ("AA0 R T IH1 K Y AH0 L AH0 T", "AA0 R T IH1 K Y AH0 L EY2 T"),
    "associate": ("AH0 S OW1 S IY0 AH0 T", "AH0 S OW1 S IY0 EY2 T"),
    "attribute": ("AE1 T R AH0 B Y UW2 T", "AH0 T R IH1 B Y UW0 T"),
    "combine": ("K AA1 M B AY0 N", "K AH0 M B AY1 N", "v"),
    "compact": ("K AA1 M P AE0 K T", "K AH0 M P AE1 K T"),
    "compound": ("K AA1 M P AW0 N D", "K AH0 M P AW1 N D"),
    "compress": ("K AA1 M P R EH0 S", "K AH0 M P R EH1 S", "v"),
    "conduct": ("K AA1 N D AH0 K T", "K AH0 N D AH1 K T"),
    "confines": ("K AA1 N F AY2 N Z", "K AH0 N F AY1 N Z"),
    "conflict": ("K AA1 N F L IH0 K T", "K AH0 N F L IH1 K T"),
    "console": ("K AA1 N S OW0 L", "K AH0 N S OW1 L"),
    "construct": ("K AA1 N S T R AH0 K T", "K AH0 N S T R AH1 K T", "v"),
    "contest": ("K AA1 N T EH0 S T", "K AH0 N T EH1 S T"),
    "contract": ("K AA1 N T R AE2 K T", "K AH0 N T R AE1 K T"),
    "contrast": ("K AA1 N T R AE0 S T", "K AH0 N T R AE1 S T"),
    "converse": ("K AA1 N V ER0 S", "K AH0 N V ER1 S", "v"),
    "convert": ("K AA1 N V ER0 T", "K AH0 N V ER1 T", "v"),
    "convict": ("K AA1 N V IH0 K T", "K AH0 N V IH1 K T"),
    "coordinate": ("K OW0 AO1 R D AH0 N AH0 T", "K OW0 AO1 R D AH0 N EY2 T"),
    "decrease": ("D IY1 K R IY2 S", "D IH0 K R IY1 S"),
    "defect": ("D IY1 F EH0 K T", "D IH0 F EH1 K T"),
    "delegate": ("D EH1 L AH0 G AH0 T", "D EH1 L AH0 G EY2 T"),
    "deliberate": ("D IH0 L IH1 B ER0 AH0 T", "D IH0 L IH1 B ER0 EY2 T"),
    "desert": ("D EH1 Z ER0 T", "D IH0 Z ER1 T"),
    "digest": ("D AY1 JH EH0 S T", "D AY0 JH EH1 S T"),
    "discharge": ("D IH1 S CH AA2 R JH", "D IH0 S CH AA1 R JH"),
    "discount": ("D IH1 S K AW0 N T", "D IH0 S K AW1 N T"),
    "duplicate": ("D UW1 P L AH0 K AH0 T", "D UW1 P L AH0 K EY2 T"),
    "elaborate": ("IH0 L AE1 B R AH0 T", "IH0 L AE1 B ER0 EY2 T"),
    "entrance": ("EH1 N T R AH0 N S", "IH0 N T R AE1 N S"),
    "escort": ("EH1 S K AO0 R T", "EH0 S K AO1 R T"),
    "estimate": ("EH1 S T AH0 M AH0 T", "EH1 S T AH0 M EY2 T"),
    "excuse": ("IH0 K S K Y UW1 S", "IH0 K S K Y UW1 Z", "v"),
    "export": ("EH1 K S P AO0 R T", "IH0 K S P AO1 R T"),
    "extract": ("EH1 K S T R AE2 K T", "IH0 K S T R AE1 K T"),
    "graduate": ("G R AE1 JH AH0 W AH0 T", "G R AE1 JH AH0 W EY2 T"),
    "house": ("HH AW1 S", "HH AW1 Z"),
    "impact": ("IH1 M P AE0 K T", "IH2 M P AE1 K T"),
    "import": ("IH1 M P AO2 R T", "IH2 M P AO1 R T"),
    "incense": ("IH1 N S EH2 N S", "IH2 N S EH1 N S"),
    "increase": ("IH1 N K R IY2 S", "IH2 N K R IY1 S"),
    "initiate": ("IH0 N IH1 SH IY0 AH0 T", "IH0 N IH1 SH IY0 EY2 T", "v"),
    "insert": ("IH1 N S ER2 T", "IH2 N S ER1 T", "v"),
    "insult": ("IH1 N S AH2 L T", "IH2 N S AH1 L T"),
    "intimate": ("IH1 N T AH0 M AH0 T", "IH1 N T AH0 M EY2 T"),
    "misuse": ("M IH0 S Y UW1 S", "M IH0 S Y UW1 Z"),
    "moderate": ("M AA1 D ER0 AH0 T", "M AA1 D ER0 EY2 T"),
    "object": ("AA1 B JH EH0 K T", "AH0 B JH EH1 K T"),
    "perfect": ("P ER1 F IH2 K T", "P ER0 F EH1 K T"),
    "permit": ("P ER1 M IH2 T", "P ER0 M IH1 T"),
    "present": ("P R EH1 Z AH0 N T", "P R IY0 Z EH1 N T"),
    "produce": ("P R OW1 D UW0 S", "P R AH0 D UW1 S", "v"),
    "progress": ("P R AA1 G R EH2 S", "P R AH0 G R EH1 S"),
    "project": ("P R AA1 JH EH0 K T", "P R AH0 JH EH1 K T"),
    "protest": ("P R OW1 T EH2 S T", "P R AH0 T EH1 S T"),
    "rebel": ("R EH1 B AH0 L", "R IH0 B EH1 L"),
    "recall": ("R IY1 K AO2 L", "R IH0 K AO1 L", "v"),
    "record": ("R EH1 K ER0 D", "R IH0 K AO1 R D"),
    "refund": ("R IY1 F AH2 N D", "R IH0 F AH1 N D"),
    "refuse": ("R EH1 F Y UW2 Z", "R IH0 F Y UW1 Z", "v"),
    "reject": ("R IY1 JH EH0 K T", "R IH0 JH EH1 K T", "v"),
    "relay": ("R IY1 L EY2", "R IY0 L EY1"),
    "segment": ("S EH1 G M AH0 N T", "S EH1 G M EH2 N T"),
    "separate": ("S EH1 P ER0 AH0 T", "S EH1 P ER0 EY2 T"),
    "subject": ("S AH1 B JH IH0 K T", "S AH0 B JH EH1 K T"),
    "survey": ("S ER1 V EY2", "S ER0 V EY1"),
    "suspect": ("S AH1 S P EH2 K T", "S AH0 S P EH1 K T"),
    "syndicate": ("S IH1 N D IH0 K AH0 T", "S IH1 N D IH0 K EY2 T"),
    "tear": ("T IH1 R", "T EH1 R"),
    "torment": ("T AO1 R M EH2 N T", "T AO0 R M EH1 N T"),
    "transfer": ("T R AE1 N S F ER0", "T R AE0 N S F ER1"),
    "transplant": ("T R AE1 N S P L AE2 N T", "T R AE0 N S P L AE1 N T"),
    "transport": ("T R AE1 N S P AO0 R T", "T R AE0 N S P AO1 R T"),
    "upset": ("AH1 P S EH2 T", "AH0 P S EH1 T", "v"),
    "use": ("Y UW1 S", "Y UW1 Z", "v"),
}


def _words(words: str, phones: str) -> dict[str, Phones]:
    return {word: _p(phones) for word in words.split()}


def _table() -> dict[str, Heteronym]:
    table = {}
    for word, (noun, verb, *usual) in _NOUN_AND_VERB.items():
        table[word] = Heteronym(_p(verb if usual else noun), noun=_p(noun), verb=_p(verb))
    close, near = _p("K L OW1 Z"), _p("K L OW1 S")
    table["close"] = Heteronym(
        close, noun=near, verb=close, state=near,
        after=_words("as too how come comes came stay stayed get got getting stand stood that draw drew", "K L OW1 S"),
        before=_words("to friend friends by together enough relative relatives relationship proximity", "K L OW1 S"),
    )  # fmt: skip
    table["live"] = Heteronym(
        _p("L IH1 V"), verb=_p("L IH1 V"), noun=_p("L AY1 V"), state=_p("L AY1 V"),
        after=_words("went go goes going broadcast streamed streaming performing recorded watch reporting", "L AY1 V"),
        before=_words("music show shows concert broadcast stream audience wire performance coverage tv television "
                      "event chat video album recording ammunition animals sports band theater", "L AY1 V"),
    )  # fmt: skip
    table["lead"] = Heteronym(
        _p("L IY1 D"),
        after=_words("molten liquid of containing metal contains contained", "L EH1 D"),
        before=_words("pipe pipes paint paints poisoning acid bullet bullets pencil pencils weights shot", "L EH1 D"),
    )
    table["read"] = Heteronym(
        _p("R IY1 D"), noun=_p("R IY1 D"), verb=_p("R IY1 D"), past=_p("R EH1 D"), after=_words("he she it", "R EH1 D")
    )
    table["wind"] = Heteronym(
        _p("W IH1 N D"), noun=_p("W IH1 N D"), verb=_p("W AY1 N D"), before=_words("up down", "W AY1 N D")
    )
    table["wound"] = Heteronym(
        _p("W UW1 N D"),
        before=_words("up down around tightly through", "W AW1 N D"),
        after=_words("tightly", "W AW1 N D"),
    )
    table["minute"] = Heteronym(
        _p("M IH1 N AH0 T"),
        after=_words("very extremely", "M AY0 N UW1 T"),
        before=_words("detail details amount amounts particles quantities traces differences", "M AY0 N UW1 T"),
    )
    table["bow"] = Heteronym(
        _p("B OW1"), noun=_p("B OW1"), verb=_p("B AW1"),
        before=_words("to before down out", "B AW1"), after=_words("ship's", "B AW1"),
    )  # fmt: skip
    table["bass"] = Heteronym(
        _p("B EY1 S"), after=_words("sea striped largemouth smallmouth black caught", "B AE1 S"),
        before=_words("fishing fish boat lake pro", "B AE1 S"),
    )  # fmt: skip
    table["dove"] = Heteronym(_p("D AH1 V"), before=_words("into in under off headfirst down", "D OW1 V"))
    table["content"] = Heteronym(
        _p("K AA1 N T EH0 N T"), noun=_p("K AA1 N T EH0 N T"), state=_p("K AH0 N T EH1 N T"),
        before=_words("with to", "K AH0 N T EH1 N T"),
    )  # fmt: skip
    table["polish"] = Heteronym(_p("P AA1 L IH0 SH"), capital=_p("P OW1 L IH0 SH"))
    table["nice"] = Heteronym(_p("N AY1 S"), capital=_p("N IY1 S"))
    table["reading"] = Heteronym(_p("R IY1 D IH0 NG"), capital=_p("R EH1 D IH0 NG"))
    table["august"] = Heteronym(_p("AO0 G AH1 S T"), capital=_p("AO1 G AH0 S T"))
    table["lives"] = Heteronym(_p("L IH1 V Z"), noun=_p("L AY1 V Z"), after=_words("save saved human of", "L AY1 V Z"))
    table["used"] = Heteronym(_p("Y UW1 Z D"), before=_words("to", "Y UW1 S T"))
    table["sow"] = Heteronym(_p("S OW1"), noun=_p("S AW1"), verb=_p("S OW1"))
    table["learned"] = Heteronym(
        _p("L ER1 N D"), before=_words("man men scholar scholars professor society friend", "L ER1 N IH0 D")
    )
    table["aged"] = Heteronym(_p("EY1 JH D"), after=_words("the", "EY1 JH IH0 D"))
    return table


_TABLE = _table()


def heteronyms() -> list[str]:
    """Return the spellings that have several readings, sorted; their forms in -s, -ed and -ing have as well.

    >>> "read" in heteronyms(), len(heteronyms()) > 90
    (True, True)
    """
    return sorted(_TABLE)


def pronounce_heteronym(words: Sequence[str], place: int, starts_sentence: bool = False) -> Phones | None:
    """Return the sounds of the word at ``place``, if it is a heteronym.

    Args:
        words: The words of a sentence as they are written.
        place: Which of them is meant.
        starts_sentence: Whether a capital letter says nothing.

    Example:
        >>> words = "I read what you had read".split()
        >>> pronounce_heteronym(words, 1), pronounce_heteronym(words, 5), pronounce_heteronym(words, 0)
        (('R', 'IY1', 'D'), ('R', 'EH1', 'D'), None)
    """
    word = words[place].lower()
    if word in _TABLE:
        return _choose(_TABLE[word], words, place, starts_sentence)
    for ending, suffixed in (("s", with_s), ("ed", with_d), ("d", with_d), ("ing", _with_ing)):
        if not word.endswith(ending):
            continue
        for stem in (word[: -len(ending)], word[: -len(ending)] + "e", word[: -len(ending) - 1]):
            entry = _TABLE.get(stem)
            if entry is None or entry.verb is None or entry.noun is None or stem + ending in ("lives",):
                continue
            # Forms in -ed and -ing are of the verb.
            base = _choose(entry, words, place, starts_sentence) if ending == "s" else entry.verb
            return suffixed(base)
    return None


def _with_ing(phones: Phones) -> Phones:
    return (*phones, "IH0", "NG")


def _choose(entry: Heteronym, words: Sequence[str], place: int, starts_sentence: bool) -> Phones:
    following = words[place + 1].lower() if place + 1 < len(words) else ""
    previous = words[place - 1].lower() if place else ""
    if entry.capital and words[place][0].isupper() and not starts_sentence:
        return entry.capital
    if following in entry.before:
        return entry.before[following]
    if previous in entry.after:
        return entry.after[previous]
    back = place - 1
    while back >= 0 and (words[back].lower() in _SKIPPED or words[back].lower().endswith("ly")):
        back -= 1
    said = words[back].lower() if back >= 0 else ""
    if entry.past and said in _AUXILIARY:
        return entry.past
    if entry.state and (said in _BE or previous in _BE):
        return entry.state
    if entry.verb and said in _TO_VERB:
        return entry.verb
    if entry.noun and said in _TO_NOUN:
        return entry.noun
    if entry.verb and place == 0 and following in _DETERMINER:
        return entry.verb  # an imperative: "Record the meeting."
    if entry.verb and words[place].lower().endswith("s") and said in ("he", "she", "it"):
        return entry.verb
    return entry.usual
