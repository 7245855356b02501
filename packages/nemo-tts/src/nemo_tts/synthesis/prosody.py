"""How a word, or all of a text, is to be said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from nemo_core.errors import ConfigError, DataError
from nemo_core.plugins.nearest import did_you_mean

__all__ = ["Prosody", "check_words", "prosody_of_tokens", "words_of"]

_LIMITS = {
    "pace": (0.1, 10.0),
    "pitch_shift": (-48.0, 48.0),
    "pitch_range": (-10.0, 10.0),
    "energy_shift": (-60.0, 60.0),
}


@dataclass(frozen=True)
class Prosody:
    """How something is said.

    Attributes:
        pace: 2 is twice as fast.
        pitch_shift: Semitones up.
        pitch_range: How many times as far from the mean pitch of the sentence: 0 is a monotone.
        energy_shift: Decibels louder, where the model has energy.

    Raises:
        ConfigError: A value is no number, or so large that no voice is left.

    Example:
        >>> Prosody.parse("pace=0.8, pitch-shift=3")
        Prosody(pace=0.8, pitch_shift=3.0, pitch_range=1.0, energy_shift=0.0)
    """

    pace: float = 1.0
    pitch_shift: float = 0.0
    pitch_range: float = 1.0
    energy_shift: float = 0.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not isinstance(value, int | float) or math.isnan(value):
                raise ConfigError(f"{each.name} is {value}, not a number")
            least, most = _LIMITS[each.name]
            if not least <= value <= most:
                usual = f"{each.default:g} is as in training"
                raise ConfigError(f"{each.name} is {value:g}, not from {least:g} to {most:g}", hint=usual)

    @classmethod
    def parse(cls, text: str) -> Prosody:
        """Return what ``pace=0.8,pitch-shift=3`` says.

        Raises:
            ConfigError: It says something else.
        """
        names = [each.name for each in fields(cls)]
        found = {}
        for part in text.split(","):
            key, equals, value = part.partition("=")
            name = key.strip().replace("-", "_")
            if not equals or name not in names:
                known = ", ".join(names)
                raise ConfigError(f"{part.strip()!r} says nothing", hint=did_you_mean(name, names) or f"give {known}")
            try:
                found[name] = float(value)
            except ValueError:
                raise ConfigError(f"{name} is {value.strip()!r}, not a number") from None
        return cls(**found)


def words_of(pieces: Sequence[str]) -> list[int]:
    """Return the number of the word, from 1, that each token belongs to; 0 for blanks and lone punctuation.

    Args:
        pieces: The tokens; words stand between blanks.

    Example:
        >>> words_of([" ", "W", "AH", "N", ",", " ", "-", " ", "T", "UW", " "])
        [0, 1, 1, 1, 1, 0, 0, 0, 2, 2, 0]
    """
    numbers = [0] * len(pieces)
    count = start = 0
    for place in range(len(pieces) + 1):
        if place < len(pieces) and not pieces[place].isspace():
            continue
        if any(letter.isalnum() for piece in pieces[start:place] for letter in piece):
            count += 1
            numbers[start:place] = [count] * (place - start)
        start = place + 1
    return numbers


def prosody_of_tokens(
    words: Mapping[int, Prosody], numbers: Sequence[Sequence[int]], width: int, usual: Prosody
) -> dict[str, Tensor]:
    """Return what each token is to be said like: (B, T) for each of the attributes of :class:`Prosody`.

    Args:
        words: How words are said that are not said as usual, by their numbers from 1.
        numbers: Of which word each token is, text by text.
        width: Tokens of the longest text.
        usual: How all the rest is said; paces are multiplied with it, shifts added.

    Example:
        >>> wishes = prosody_of_tokens({2: Prosody(pace=0.5)}, [[0, 1, 2]], 3, Prosody(pace=2.0))
        >>> wishes["pace"]
        tensor([[2., 2., 1.]])
    """
    made = {
        each.name: torch.full((len(numbers), width), float(getattr(usual, each.name)))
        for each in fields(Prosody)
        if any(getattr(said, each.name) != each.default for said in (usual, *words.values()))
    }
    for row, each in enumerate(numbers):
        for place, number in enumerate(each):
            if number not in words:
                continue
            for name, wishes in made.items():
                own = getattr(words[number], name)
                wishes[row, place] = wishes[row, place] + own if name.endswith("shift") else wishes[row, place] * own
    return made


def check_words(words: Mapping[int, Prosody], count: int) -> None:
    """Refuse wishes for words that a text has not.

    Raises:
        DataError: There is no such word.

    Example:
        >>> check_words({3: Prosody()}, 2)
        Traceback (most recent call last):
        nemo_core.errors.DataError: ...
    """
    for number in words:
        if not 1 <= number <= count:
            raise DataError(
                f"there is no word {number}: the text has {count}, as they are spoken",
                hint="the first word is 1; `nemo tts normalize` shows what is spoken",
            )
