"""Suggestions for a misspelt name."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]


def nearest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return up to ``count`` of the known words that a person may have meant, the likeliest first.

    >>> nearest("conformr", ["Conformer", "Jasper"])
    ['Conformer']
    """
    import difflib  # 10 ms that only a mistake should cost

    by_lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), list(by_lower), n=count, cutoff=0.6)
    if not found:  # "ConformerEncoder" for "asr.ConformerEncoder": right, but for what stands before the last dot
        tails = {each.rpartition(".")[2]: each for each in by_lower}
        last = word.lower().rpartition(".")[2]
        found = [tails[each] for each in difflib.get_close_matches(last, list(tails), n=count, cutoff=0.75)]
    return [by_lower[each] for each in found]


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Return the question ``did you mean a, b or c?``, or None where nothing is near.

    >>> did_you_mean("adamv", ["sgd", "adamw", "adam"])
    'did you mean adam or adamw?'
    """
    found = nearest(word, known)
    if not found:
        return None
    return "did you mean " + " or ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found) + "?"
