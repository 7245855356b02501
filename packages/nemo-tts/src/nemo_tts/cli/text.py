"""``nemo tts normalize`` and ``nemo tts phonemes``: what a text front end makes of a text."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from nemo_core.cli.output import JsonOption, print_json

if TYPE_CHECKING:
    from nemo_tts.text import EnglishNormalizer, MandarinNormalizer

__all__ = ["normalize", "phonemes"]


class Language(StrEnum):
    """What can be read."""

    en = "en"
    zh = "zh"


_Texts = Annotated[list[str], typer.Argument(metavar="TEXT...", help="What to read.")]
_Language = Annotated[Language, typer.Option("--lang", help="English, or Mandarin (needs nemo-tts[zh] for phonemes).")]


def normalize(texts: _Texts, lang: _Language = Language.en, json: JsonOption = False) -> None:
    """Write texts the way they are spoken: numbers, dates and signs as words.

    Example:
      nemo tts normalize "On 4 May 2021 it cost $3.50."
    """
    normalizer = _normalizer(lang)
    found = []
    for text in texts:
        # The JSON names what was left out; without it there is a warning.
        analyzed = normalizer.analyze(text)
        dropped = [
            {"character": each.character, "position": each.position, "name": each.name} for each in analyzed.dropped
        ]
        found.append({"text": text, "normalized": analyzed.text, "dropped": dropped})
        if not json:
            typer.echo(analyzed.text)
            for each in analyzed.dropped:
                typer.echo(f"left out: {each}", err=True)
    if json:
        print_json(found)


def phonemes(
    texts: _Texts,
    lang: _Language = Language.en,
    ipa: Annotated[bool, typer.Option("--ipa", help="In the International Phonetic Alphabet.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the sounds that texts are read with: ARPABET for English, pinyin for Mandarin, or IPA.

    Example:
      nemo tts phonemes "I read what she had read." --ipa
    """
    from nemo_tts.text import ChineseG2p, EnglishG2p

    notation = "ipa" if ipa else ("arpabet" if lang is Language.en else "pinyin")
    normalizer = _normalizer(lang)
    g2p = EnglishG2p(notation) if lang is Language.en else ChineseG2p(notation, english="phonemes")
    found = []
    for text in texts:
        words = normalizer.normalize(text)
        symbols = g2p(words)
        found.append({"text": text, "normalized": words, "notation": notation, "phonemes": symbols})
        if not json:
            typer.echo("".join(symbols) if ipa else " ".join(" ".join(symbols).split()))
    if json:
        print_json(found)


def _normalizer(language: Language) -> EnglishNormalizer | MandarinNormalizer:
    from nemo_tts.text import EnglishNormalizer, MandarinNormalizer

    return EnglishNormalizer() if language is Language.en else MandarinNormalizer()
