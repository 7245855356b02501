"""Text to IPA by the program espeak-ng."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from nemo_core.config.configured import Configured
from nemo_core.errors import ConfigError, DataError

__all__ = ["EspeakG2p"]

# What espeak-ng's voices write, of whatever language: letters of IPA, their marks, stress and length.
_INVENTORY = "abcdefhijklmnopqrstuvwxyzæçðøħŋœɐɑɒɓɔɕɖɗɘəɚɛɜɝɟɠɡɣɤɥɦɨɪɫɬɭɮɯɰɱɲɳɴɵɶɸɹɺɻɽɾʀʁʂʃʄʈʉʊʋʌʍʎʏʐʑʒʔʕʙʝβθχᵻʲʰˈˌːˑ̪̩̯̥̃"
# Marks stay where they are; espeak-ng is asked for what is between them.
_PIECES = re.compile(r"(?P<words>[\w'’\-]+(?:\s+[\w'’\-]+)*)|(?P<blank>\s+)|(?P<mark>.)")
# Ties, and the hyphen behind a word that leans on the next.
_TIES = dict.fromkeys(map(ord, "\N{ZERO WIDTH JOINER}\N{COMBINING DOUBLE INVERTED BREVE}-"))
_SWITCH = re.compile(r"\([a-z-]+\)")


class EspeakG2p(Configured):
    """Asks espeak-ng what a text sounds like.

    Args:
        language: A voice of espeak-ng: ``de``, ``es``, ``fr-fr``; ``espeak-ng --voices`` lists them.
        program: Name or path of the program.

    Raises:
        ConfigError: The program is not installed, or has no such voice; said when the first text is converted, so that
            an archive can be read without it.
    """

    def __init__(self, language: str, program: str = "espeak-ng") -> None:
        self.language, self.program = language, program

    @property
    def symbols(self) -> Sequence[str]:
        """Every symbol that can come out."""
        return sorted(set(unicodedata.normalize("NFD", _INVENTORY)))

    def __call__(self, text: str) -> list[str]:
        """Return the sounds of ``text``, blanks and punctuation among them."""
        symbols: list[str] = []
        for piece in _PIECES.finditer(text):
            if piece["words"]:
                symbols += _spoken(self.program, self.language, piece["words"])
            else:
                symbols.append(" " if piece["blank"] else piece["mark"])
        return symbols


@lru_cache(maxsize=100_000)
def _spoken(program: str, language: str, words: str) -> str:
    command = [program, "-q", "--ipa", "-v", language, "--", words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60)
    except FileNotFoundError:
        raise ConfigError(f"{program} is not installed", hint="apt-get install espeak-ng") from None
    except subprocess.TimeoutExpired:
        raise DataError(f"{program} does not answer for {words[:60]!r}") from None
    if done.returncode:
        raise ConfigError(f"{program}: {done.stderr.strip()}", hint=f"`{program} --voices` lists the languages")
    said = _SWITCH.sub("", " ".join(done.stdout.split()))
    return unicodedata.normalize("NFD", said).translate(_TIES)
