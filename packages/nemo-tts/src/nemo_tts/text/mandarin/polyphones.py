"""Characters with several readings, told apart by the characters and words around them.

A log-linear model for each character: every feature of the context (its neighbours, alone and in pairs, the word it
is in and the kind of word, and what pypinyin makes of that word) speaks with a learned weight for and against each
reading. What a dictionary says of a whole phrase speaks loudly from the start.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from nemo_core.errors import DataError
from nemo_tts.text.mandarin.words import Word

__all__ = ["PolyphoneModel", "context_features"]

_MAGIC = b"nemo polyphones 1\n"
_STEP = 20.0
_OUTSIDE = "^"


def context_features(text: str, word: Word, offset: int) -> list[str]:
    """Return what is known about a character.

    Args:
        text: The sentence.
        word: The word that it is in.
        offset: Where in the word it stands.

    Example:
        >>> context_features("银行", Word("银行", 0, "n", ("yin2", "hang2"), (True, True)), 1)[:5]
        ['', 'r=hang2', 'k=hang2', 'a=银', 'b=^']
    """
    place, usual = word.start + offset, word.readings[offset]

    def near(distance: int) -> str:
        at = place + distance
        return text[at] if 0 <= at < len(text) else _OUTSIDE

    before, after = near(-1), near(1)
    last = len(word.text) - 1
    position = "single" if last == 0 else "first" if offset == 0 else "last" if offset == last else "mid"
    # How much the usual reading is worth depends on where it comes from.
    origin = "k" if word.known and word.known[offset] else "m" if last else "s"
    return [
        "",
        f"r={usual}",
        f"{origin}={usual}",
        *([f"j={word.joined}"] if word.joined else []),
        f"a={before}",
        f"b={after}",
        f"c={near(-2)}",
        f"d={near(2)}",
        f"ab={before}{after}",
        f"ca={near(-2)}{before}",
        f"bd={after}{near(2)}",
        f"w={word.text}",
        f"t={word.tag}",
        f"p={position}",
        f"tp={word.tag}{position}",
    ]


class PolyphoneModel:
    """The readings of characters and what speaks for each.

    Args:
        readings: The readings of each character.
        weights: For each character and feature, the weight of each reading.

    Example:
        >>> model = PolyphoneModel.shipped()
        >>> "行" in model, model.readings["行"]
        (True, ['hang2', 'xing2'])
    """

    def __init__(
        self, readings: Mapping[str, Sequence[str]], weights: Mapping[str, Mapping[str, Sequence[float]]]
    ) -> None:
        self.readings = {character: list(each) for character, each in readings.items()}
        self.weights = weights

    @classmethod
    def shipped(cls) -> PolyphoneModel:
        """Return the model that comes with the package; it is read once."""
        return _shipped()

    def __contains__(self, character: object) -> bool:
        return character in self.readings

    def read(self, text: str, word: Word, offset: int) -> str:
        """Return the reading of a character where it stands: the usual one if it is none of the model's.

        A phrase that the dictionary has, with a reading that was never met in learning, is read as the dictionary says:
        of such readings the model knows nothing.

        Args:
            text: The sentence.
            word: The word that the character is in.
            offset: Where in the word it stands.

        Example:
            >>> PolyphoneModel.shipped().read("银行", Word("银行", 0, "n", ("yin2", "hang2"), (True, True)), 1)
            'hang2'
        """
        character, usual = word.text[offset], word.readings[offset]
        if character not in self or (word.known and word.known[offset] and usual not in self.readings[character]):
            return usual
        return self.choose(character, context_features(text, word, offset))

    def choose(self, character: str, features: Sequence[str]) -> str:
        """Return the most probable reading of a character in a context.

        Args:
            character: One of the model's.
            features: What :func:`context_features` says of the context.
        """
        readings, weights = self.readings[character], self.weights[character]
        totals = [0.0] * len(readings)
        for feature in features:
            for number, weight in enumerate(weights.get(feature, ())):
                totals[number] += weight
        return readings[max(range(len(totals)), key=totals.__getitem__)]

    def to_bytes(self) -> bytes:
        """Return the content of a model file: weights are rounded to 1/20, and those of nothing are left out."""
        kept: dict[str, list[object]] = {}
        for character, readings in sorted(self.readings.items()):
            rows = {}
            for feature, weights in sorted(self.weights[character].items()):
                rounded = [round(weight * _STEP) for weight in weights]
                if any(rounded):
                    rows[feature] = rounded
            kept[character] = [readings, rows]
        return _MAGIC + lzma.compress(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode(), preset=9)

    @classmethod
    def from_bytes(cls, content: bytes) -> PolyphoneModel:
        """Return the model that :meth:`to_bytes` wrote.

        Raises:
            DataError: The content is not a model, or damaged.
        """
        try:
            if not content.startswith(_MAGIC):
                raise ValueError("another format")
            kept = json.loads(lzma.decompress(content[len(_MAGIC) :]))
            weights = {
                character: {feature: [weight / _STEP for weight in row] for feature, row in rows.items()}
                for character, (_, rows) in kept.items()
            }
            return cls({character: readings for character, (readings, _) in kept.items()}, weights)
        except (ValueError, TypeError, AttributeError, EOFError, lzma.LZMAError) as error:
            raise DataError(f"this is no model of polyphones: {error}") from None


@cache
def _shipped() -> PolyphoneModel:
    return PolyphoneModel.from_bytes((files("nemo_tts.text.mandarin") / "data" / "polyphones.bin").read_bytes())
