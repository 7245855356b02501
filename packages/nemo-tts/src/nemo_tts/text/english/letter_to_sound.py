"""Pronunciations of words that no dictionary has: an n-gram model of letters and their sounds together.

A word is a sequence of *graphones*, each one letter with the none, one or two sounds it stands for: ``phone`` is
``p/- h/F o/OW1 n/N e/-``. The model says how probable a sequence of graphones is; the pronunciation of a word is that
of the most probable sequence that spells it (Bisani and Ney, 2008, "Joint-sequence models for grapheme-to-phoneme
conversion"). :mod:`~nemo_tts.text.english.letter_to_sound_training` learns it.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from nemo_core.errors import DataError

__all__ = ["LetterToSound"]

_MAGIC = b"nemo letter-to-sound 1\n"
_START, _END = "\x01", "\x02"
_STEP = 20.0  # natural logarithms are kept in steps of 1/20
_BACKOFF_ZERO = 80


class LetterToSound:
    """A model of the sounds of letters.

    Args:
        graphones: Each letter with its sounds, in the order of their numbers.
        probabilities: Natural logarithm of the probability of the last graphone of each n-gram after those before it.
            A graphone is one character, see :meth:`character`.
        backoffs: Natural logarithm of the weight of the shorter context after each n-gram.
        order: Length of the longest n-gram.

    Example:
        >>> model = LetterToSound.shipped()
        >>> " ".join(model.pronounce("gleeking"))
        'G L IY1 K IH0 NG'
    """

    #: What costs a pronunciation without exactly one primary stress; found on the development set.
    STRESS_PENALTY = 4.0

    def __init__(
        self,
        graphones: Sequence[tuple[str, tuple[str, ...]]],
        probabilities: dict[str, float],
        backoffs: dict[str, float],
        order: int,
    ) -> None:
        self.graphones = list(graphones)
        self.order = order
        self._probabilities = probabilities
        self._backoffs = backoffs
        self._spelling: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for number, (letter, phones) in enumerate(self.graphones):
            self._spelling.setdefault(letter, []).append((self.character(number), phones))

    @staticmethod
    def character(number: int) -> str:
        """Return the character that stands for the graphone ``number`` in n-grams."""
        return chr(number + 3)

    @classmethod
    def shipped(cls) -> LetterToSound:
        """Return the model that comes with the package; it is read once."""
        return _shipped()

    def pronounce(self, word: str, beam: int = 24) -> list[str]:
        """Return the sounds of ``word`` in ARPABET.

        Args:
            word: Letters ``a`` to ``z``.
            beam: Number of unfinished pronunciations that are kept.

        Raises:
            DataError: The word has something that is no letter, or none at all.
        """
        word = word.lower()
        unknown = next((letter for letter in word if letter not in self._spelling), None)
        if unknown is not None or not word:
            raise DataError(f"{unknown or ''!r} in {word!r} is not one of the letters a to z")
        paths: list[tuple[float, str, tuple[str, ...]]] = [(0.0, _START, ())]
        keep = self.order - 1
        for letter in word:
            best: dict[str, tuple[float, str, tuple[str, ...]]] = {}
            for score, context, said in paths:
                for character, phones in self._spelling[letter]:
                    total = score + self._score(context, character)
                    following = (context + character)[-keep:]
                    if following not in best or best[following][0] < total:
                        best[following] = (total, following, said + phones)
            paths = sorted(best.values(), reverse=True)[:beam]
        finished = [(self._finish(score, context, said), said) for score, context, said in paths]
        return list(max(finished)[1])

    def _finish(self, score: float, context: str, said: tuple[str, ...]) -> float:
        stresses = sum(phone.endswith("1") for phone in said)
        return score + self._score(context, _END) - (0.0 if stresses == 1 else self.STRESS_PENALTY)

    def _score(self, context: str, character: str) -> float:
        total = 0.0
        while True:
            found = self._probabilities.get(context + character)
            if found is not None:
                return total + found
            if not context:
                return total - 20.0  # a graphone that was never seen at all: no model is made so, files may be
            total += self._backoffs.get(context, 0.0)
            context = context[1:]

    # -- files: for each length, how many n-grams continue each shorter one, their last graphones, and the numbers

    def to_bytes(self) -> bytes:
        """Return the content of a model file: probabilities are rounded to 1/20 of a natural logarithm."""
        header = {"order": self.order, "graphones": [[letter, *phones] for letter, phones in self.graphones]}
        parts = [json.dumps(header).encode()]
        shorter = [""]
        for length in range(1, self.order + 1):
            grouped: dict[str, list[str]] = {context: [] for context in shorter}
            for ngram in sorted(key for key in self._probabilities if len(key) == length):
                grouped[ngram[:-1]].append(ngram)
            shorter = [ngram for context in shorter for ngram in grouped[context]]
            parts.append("".join(chr(len(ngrams)) for ngrams in grouped.values()).encode())
            parts.append("".join(ngram[-1] for ngram in shorter).encode())
            parts.append(bytes(min(255, round(-self._probabilities[ngram] * _STEP)) for ngram in shorter))
            backoffs = (round(-self._backoffs.get(ngram, 0.0) * _STEP) + _BACKOFF_ZERO for ngram in shorter)
            parts.append(bytes(min(255, max(0, backoff)) for backoff in backoffs))
        sizes = json.dumps([len(part) for part in parts]).encode() + b"\n"
        return _MAGIC + lzma.compress(sizes + b"".join(parts), preset=9)

    @classmethod
    def from_bytes(cls, content: bytes) -> LetterToSound:
        """Return the model that :meth:`to_bytes` wrote.

        Raises:
            DataError: The content is not a model, or damaged.
        """
        try:
            if not content.startswith(_MAGIC):
                raise ValueError("another format")
            return cls(*_read(lzma.decompress(content[len(_MAGIC) :])))
        except (ValueError, KeyError, TypeError, IndexError, EOFError, lzma.LZMAError) as error:
            raise DataError(f"this is no model of letters and sounds: {error}") from None

    @classmethod
    def load(cls, path: str | Path) -> LetterToSound:
        """Return the model in the file ``path``.

        Raises:
            DataError: It cannot be read, or is no model.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from None
        try:
            return cls.from_bytes(content)
        except DataError as error:
            raise DataError(f"{path}: {error.message}") from None


def _read(
    content: bytes,
) -> tuple[list[tuple[str, tuple[str, ...]]], dict[str, float], dict[str, float], int]:
    first, _, rest = content.partition(b"\n")
    parts = []
    for size in json.loads(first):
        parts.append(rest[:size])
        rest = rest[size:]
    header = json.loads(parts.pop(0))
    probability = [-step / _STEP for step in range(256)]
    backoff = [-(step - _BACKOFF_ZERO) / _STEP for step in range(256)]
    probabilities: dict[str, float] = {}
    backoffs: dict[str, float] = {}
    shorter = [""]
    for _ in range(header["order"]):
        counts, lasts, costs, weights = parts.pop(0).decode(), parts.pop(0).decode(), parts.pop(0), parts.pop(0)
        contexts = [context for context, count in zip(shorter, counts, strict=True) for _ in range(ord(count))]
        shorter = [context + last for context, last in zip(contexts, lasts, strict=True)]
        probabilities.update(zip(shorter, [probability[cost] for cost in costs], strict=True))
        backoffs.update(
            (ngram, backoff[weight]) for ngram, weight in zip(shorter, weights, strict=True) if weight != _BACKOFF_ZERO
        )
    graphones = [(letter, tuple(phones)) for letter, *phones in header["graphones"]]
    return graphones, probabilities, backoffs, header["order"]


@cache
def _shipped() -> LetterToSound:
    return LetterToSound.from_bytes((files("nemo_tts.text.english") / "data" / "letter_to_sound.bin").read_bytes())
