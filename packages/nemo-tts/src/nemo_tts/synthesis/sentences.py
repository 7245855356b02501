"""Where a text can be cut, to be spoken piece by piece."""

from __future__ import annotations

import re

__all__ = ["split_sentences"]

# Behind the end of a sentence: Western marks where a blank follows, Chinese ones anywhere.
_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[^a-z])|(?<=[。！？；])[”’」』）]*|\n\s*\n|\n")
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:Dr|Mr|Mrs|Ms|Prof|St|Jr|Sr|vs|No|Gen|Col|Lt|Rev|e\.g|i\.e|[A-Z])\.$")
_CLAUSE = re.compile(r"(?<=[,;:])\s+|(?<=[，、：；])|\s+[–—-]\s+")


def split_sentences(text: str, longest: int = 300) -> list[str]:
    """Return the sentences of a text; those that are too long in pieces.

    Args:
        text: Any text.
        longest: Characters of a piece, at most: a longer sentence is cut between clauses, or else between words.

    Example:
        >>> split_sentences('Dr. Lee paid $3.50. "Really?" she asked. 你好。再见！')
        ['Dr. Lee paid $3.50.', '"Really?" she asked.', '你好。', '再见！']
    """
    pieces: list[str] = []
    start = 0
    for match in _END.finditer(text):
        before = text[start : match.end()].rstrip()
        if "\n" not in match.group() and _ABBREVIATION.search(before):
            continue
        pieces.append(before)
        start = match.end()
    pieces.append(text[start:])
    return [part for piece in pieces if piece.strip() for part in _shortened(piece.strip(), longest)]


def _shortened(sentence: str, longest: int) -> list[str]:
    if len(sentence) <= longest:
        return [sentence]
    parts = [part for part in _CLAUSE.split(sentence) if part]
    if len(parts) == 1:
        parts = sentence.split() or [sentence]
    gap = "" if any("\u3400" <= letter <= "\u9fff" for letter in sentence) else " "
    found = [""]
    for part in parts:
        for start in range(0, len(part), longest):  # a word without an end
            piece = part[start : start + longest]
            joined = f"{found[-1]}{gap}{piece}" if found[-1] else piece
            if len(joined) <= longest:
                found[-1] = joined
            else:
                found.append(piece)
    return [part for each in found if each for part in (_shortened(each, longest) if len(each) > longest else [each])]
