"""Learning how letters sound: from a pronunciation dictionary to a :class:`LetterToSound`, and how often it errs.

Three steps. Letters are aligned with sounds by expectation maximisation, each letter with none, one or two sounds. The
sequences of graphones are counted, and an n-gram model is made of the counts with interpolated Kneser-Ney smoothing and
three discounts a length (Chen and Goodman, 1999). N-grams that say little more than shorter ones do are left out until
the model is small (the weighted difference of Seymore and Rosenfeld, 1996).
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nemo_core.errors import DataError
from nemo_tts.text.english.letter_to_sound import _END, _START, LetterToSound

__all__ = ["ErrorRates", "align", "evaluate", "split", "train"]

Pronunciations = Mapping[str, Sequence[Sequence[str]]]
Graphone = tuple[str, tuple[str, ...]]
_MOST_SOUNDS = 2


@dataclass(frozen=True)
class ErrorRates:
    """How often pronunciations are wrong.

    Attributes:
        words: Number of words.
        word_errors: Share of words of which no listed pronunciation was found, stress included.
        phone_errors: Substitutions, insertions and deletions, divided by the number of sounds, stress included.
        word_errors_without_stress: The same as ``word_errors``, but stress does not count.
        phone_errors_without_stress: The same as ``phone_errors``, but stress does not count.
    """

    words: int
    word_errors: float
    phone_errors: float
    word_errors_without_stress: float
    phone_errors_without_stress: float


def split(pronunciations: Pronunciations, seed: int = 0) -> tuple[dict[str, list[list[str]]], ...]:
    """Return words for training (90 %), development (5 %) and test (5 %).

    Where a word goes depends on the word and ``seed`` alone, so that a new edition of a dictionary moves none.

    Args:
        pronunciations: Each word with its pronunciations; words with anything but letters are left out.
        seed: Another gives another split.

    Example:
        >>> [len(part) for part in split({"a": [["AH0"]], "it's": [["IH1", "T", "S"]]})]
        [1, 0, 0]
    """
    parts: tuple[dict[str, list[list[str]]], ...] = ({}, {}, {})
    for word, spoken in pronunciations.items():
        if word.isascii() and word.isalpha():
            place = int.from_bytes(hashlib.sha256(f"{seed} {word}".encode()).digest()[:4], "big") % 20
            parts[{0: 2, 1: 1}.get(place, 0)][word] = [list(phones) for phones in spoken]
    return parts


def align(
    pairs: Sequence[tuple[str, Sequence[str]]], rounds: int = 5, sample: int = 20_000
) -> list[tuple[Graphone, ...]]:
    """Return the graphones of each word, those that are most probable after ``rounds`` of expectation maximisation.

    Args:
        pairs: Words and their sounds.
        rounds: How often probabilities are estimated anew.
        sample: How many words they are estimated on.

    Returns:
        The graphones of the words that can be aligned: those with no more than two sounds a letter.

    Example:
        >>> align([("ox", ["AA1", "K", "S"]), ("so", ["S", "OW1"])])[0]
        (('o', ('AA1',)), ('x', ('K', 'S')))
    """
    pairs = [(word, phones) for word, phones in pairs if 0 < len(phones) <= _MOST_SOUNDS * len(word)]
    step = max(1, len(pairs) // sample)
    weights: dict[Graphone, float] = {}
    for _ in range(rounds):
        counts: dict[Graphone, float] = defaultdict(float)
        for word, phones in pairs[::step]:
            _expect(word, tuple(phones), weights, counts)
        letters: dict[str, float] = defaultdict(float)
        for (letter, _), count in counts.items():
            letters[letter] += count
        weights = {graphone: count / letters[graphone[0]] for graphone, count in counts.items() if count > 1e-6}
    return [_best(word, tuple(phones), weights) for word, phones in pairs]


def _weight(weights: Mapping[Graphone, float], letter: str, said: tuple[str, ...]) -> float:
    # Before the first round all are alike, except that two sounds and none are rarer than one.
    return weights.get((letter, said), 1e-7) if weights else (0.2, 1.0, 0.05)[len(said)]


def _expect(
    word: str, phones: tuple[str, ...], weights: Mapping[Graphone, float], counts: dict[Graphone, float]
) -> None:
    """Add to ``counts`` how often each graphone is expected in one word (forward and backward sums)."""
    letters, sounds = len(word), len(phones)
    forward = [[0.0] * (sounds + 1) for _ in range(letters + 1)]
    forward[0][0] = 1.0
    arcs = []
    for i, letter in enumerate(word):
        for j in range(sounds + 1):
            if not forward[i][j] or sounds - j > _MOST_SOUNDS * (letters - i):
                continue
            for length in range(min(_MOST_SOUNDS, sounds - j) + 1):
                said = phones[j : j + length]
                weight = _weight(weights, letter, said)
                forward[i + 1][j + length] += forward[i][j] * weight
                arcs.append((i, j, length, said, weight))
    backward = [[0.0] * (sounds + 1) for _ in range(letters + 1)]
    backward[letters][sounds] = 1.0
    for i, j, length, _, weight in reversed(arcs):
        backward[i][j] += weight * backward[i + 1][j + length]
    total = forward[letters][sounds]
    if total > 0.0:
        for i, j, length, said, weight in arcs:
            counts[word[i], said] += forward[i][j] * weight * backward[i + 1][j + length] / total


def _best(word: str, phones: tuple[str, ...], weights: Mapping[Graphone, float]) -> tuple[Graphone, ...]:
    sounds = len(phones)
    paths: dict[int, tuple[float, tuple[Graphone, ...]]] = {0: (0.0, ())}
    for i, letter in enumerate(word):
        following: dict[int, tuple[float, tuple[Graphone, ...]]] = {}
        for j, (score, path) in paths.items():
            for length in range(min(_MOST_SOUNDS, sounds - j) + 1):
                if sounds - j - length > _MOST_SOUNDS * (len(word) - i - 1):
                    continue
                said = phones[j : j + length]
                total = score + math.log(_weight(weights, letter, said))
                if j + length not in following or following[j + length][0] < total:
                    following[j + length] = (total, (*path, (letter, said)))
        paths = following
    return paths[sounds][1]


def train(pronunciations: Pronunciations, order: int = 7, size: int = 450_000) -> LetterToSound:
    """Return a model of the words of a dictionary.

    Args:
        pronunciations: Each word with its pronunciations in ARPABET.
        order: Length of the longest n-gram, in letters.
        size: Number of n-grams to keep; 450,000 make a file of about 1.3 MB.

    Raises:
        DataError: There are no words.
    """
    pairs = [(word, phones) for word, spoken in sorted(pronunciations.items()) for phones in spoken]
    aligned = align(pairs)
    if not aligned:
        raise DataError("there are no words to learn from", hint="give words with pronunciations in ARPABET")
    frequency = Counter(graphone for path in aligned for graphone in path)
    # The most frequent first: they are one byte each in the file.
    graphones = [graphone for graphone, _ in sorted(frequency.items(), key=lambda item: (-item[1], item[0]))]
    characters = {graphone: LetterToSound.character(number) for number, graphone in enumerate(graphones)}
    texts = [_START + "".join(characters[graphone] for graphone in path) + _END for path in aligned]
    counts = _count(texts, order)
    probabilities, backoffs = _smooth(counts, len(graphones) + 1)
    probabilities, backoffs = _prune(probabilities, backoffs, Counter(_ngrams(texts, order)), size)
    return LetterToSound(
        graphones,
        {ngram: math.log(value) for ngram, value in probabilities.items()},
        {ngram: math.log(value) for ngram, value in backoffs.items()},
        order,
    )


def _ngrams(texts: Iterable[str], order: int) -> Iterator[str]:
    for text in texts:
        for end in range(2, len(text) + 1):
            for start in range(max(0, end - order), end):
                yield text[start:end]


def _count(texts: Sequence[str], order: int) -> list[Counter[str]]:
    """Count n-grams of each length: the longest and those at the start of a word as they are, others by what precedes.

    ``counts[n - 1]`` has those of length n. Kneser and Ney count how many different graphones precede an n-gram.
    """
    counts: list[Counter[str]] = [Counter() for _ in range(order)]
    for ngram in _ngrams(texts, order):
        if len(ngram) == order or ngram[0] == _START:
            counts[len(ngram) - 1][ngram] += 1
    for length in range(order, 1, -1):
        counts[length - 2].update(ngram[1:] for ngram in counts[length - 1])
    return counts


def _smooth(counts: Sequence[Counter[str]], kinds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the probability of each n-gram and the weight of shorter contexts behind it."""
    probabilities: dict[str, float] = {}
    backoffs: dict[str, float] = {}
    for length, counter in enumerate(counts, start=1):
        discounts = _discounts(counter)
        totals: dict[str, float] = defaultdict(float)
        taken: dict[str, float] = defaultdict(float)
        for ngram, count in counter.items():
            totals[ngram[:-1]] += count
            taken[ngram[:-1]] += discounts[min(count, 3)]
        for ngram, count in counter.items():
            context = ngram[:-1]
            shorter = probabilities[ngram[1:]] if length > 1 else 1.0 / kinds
            rest = taken[context] / totals[context]
            probabilities[ngram] = (count - discounts[min(count, 3)]) / totals[context] + rest * shorter
        backoffs.update({context: taken[context] / totals[context] for context in totals if context})
    return probabilities, backoffs


def _discounts(counter: Counter[str]) -> tuple[float, float, float, float]:
    """Return what is taken off counts of 0, 1, 2, and 3 or more (Chen and Goodman, 1999, equation 26)."""
    of = Counter(counter.values())
    once, twice, thrice, four = (max(of[count], 1) for count in (1, 2, 3, 4))
    ratio = once / (once + 2 * twice)
    found = (1 - 2 * ratio * twice / once, 2 - 3 * ratio * thrice / twice, 3 - 4 * ratio * four / thrice)
    return (0.0, *(min(max(value, 0.1), count - 0.05) for count, value in enumerate(found, start=1)))  # type: ignore[return-value]


def _prune(
    probabilities: dict[str, float], backoffs: dict[str, float], occurrences: Mapping[str, int], size: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Keep the ``size`` n-grams that say most beyond the shorter ones, and what those are continuations of."""
    worth = {}
    for ngram, value in probabilities.items():
        if len(ngram) > 1:
            without = backoffs.get(ngram[:-1], 1.0) * probabilities[ngram[1:]]
            worth[ngram] = occurrences[ngram] * math.log(value / without)
    kept = {ngram for ngram in probabilities if len(ngram) == 1}
    for ngram in sorted(worth, key=lambda key: (-worth[key], key)):
        if len(kept) >= size:
            break
        # A file holds n-grams as continuations of shorter ones.
        kept.update(ngram[:length] for length in range(2, len(ngram) + 1))
    kept.discard(_START)
    kept = {ngram for ngram in kept if ngram[:-1] in kept or len(ngram) == 1 or ngram[:-1] == _START}
    pruned = {ngram: probabilities[ngram] for ngram in kept}
    pruned[_START] = 1e-9  # never asked for; n-grams at the start of a word continue it
    weights: dict[str, float] = {}
    by_length: dict[int, list[str]] = defaultdict(list)
    for ngram in pruned:
        by_length[len(ngram)].append(ngram)

    def probability(ngram: str) -> float:
        weight = 1.0
        while ngram not in pruned:
            weight *= weights.get(ngram[:-1], 1.0)
            ngram = ngram[1:]
        return weight * pruned[ngram]

    # Weights again, from short to long, such that all probabilities after a context sum to one.
    for length in range(2, max(by_length) + 1):
        said: dict[str, float] = defaultdict(float)
        shorter: dict[str, float] = defaultdict(float)
        for ngram in by_length[length]:
            said[ngram[:-1]] += pruned[ngram]
            shorter[ngram[:-1]] += probability(ngram[1:])
        for context in said:
            weights[context] = max(1.0 - said[context], 1e-4) / max(1.0 - shorter[context], 1e-4)
    return pruned, weights


def evaluate(model: LetterToSound, pronunciations: Pronunciations) -> ErrorRates:
    """Return how often ``model`` errs on the words of ``pronunciations``; the nearest of several counts."""
    from nemo_tts.text.english.phones import without_stress

    wrong, errors, sounds = [0, 0], [0, 0], [0, 0]
    for word, spoken in pronunciations.items():
        said = model.pronounce(word)
        plain = [without_stress(phone) for phone in said]
        plains = [[without_stress(phone) for phone in phones] for phones in spoken]
        for column, (hypothesis, references) in enumerate(((said, spoken), (plain, plains))):
            distance, length = min((edit_distance(hypothesis, phones), len(phones)) for phones in references)
            wrong[column] += distance > 0
            errors[column] += distance
            sounds[column] += length
    words = max(len(pronunciations), 1)
    return ErrorRates(
        len(pronunciations),
        wrong[0] / words,
        errors[0] / max(sounds[0], 1),
        wrong[1] / words,
        errors[1] / max(sounds[1], 1),
    )


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many substitutions, insertions and deletions make ``other`` of ``one``.

    >>> edit_distance("kitten", "sitting")
    3
    """
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    return row[-1]
