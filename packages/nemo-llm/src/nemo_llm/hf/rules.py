"""How weights of the engine are made of weights as ``transformers`` names them: a language of rules.

A :class:`Rule` says for one name of ours, of the whole undivided model, which tensors it is made of and how; a family
(:mod:`nemo_llm.hf.families`) is a list of rules. :func:`expand` writes a family out for one configuration: each layer,
each expert, every size a number. What results, a :class:`Weight`, knows which rows of which tensor make up the share of
each process (:meth:`Weight.runs`), so that a process reads its share and nothing else, and the same runs, backwards,
put a checkpoint together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Piece", "Rule", "Run", "Weight", "expand"]


def _always(config: Any) -> bool:
    return True


@dataclass(frozen=True)
class Rule:
    """What one weight of the engine is made of.

    Attributes:
        ours: Its name in the undivided model; ``{layer}`` and ``{expert}`` stand for their numbers.
        theirs: Names of the tensors; one name for several ``rows`` is a tensor that has them one below the other.
        rows: Sizes of the first dimension, by name: of each tensor, in our orientation.
        columns: Size of the second dimension, by name; None for a vector.
        split: Which dimension tensor parallelism divides.
        join: ``blocks`` lie one below the other, and each is divided by itself (gate and up); with ``heads`` each group
            of heads has its part of every tensor in turn (queries, keys and values), and the whole is divided.
        transposed: The tensor lies in the file the other way round (GPT-2).
        padded: The engine's has rows of zeros behind (the vocabulary).
        layers: In which layers it is: ``all``, ``dense`` ones, or those with ``experts``.
        count: Which value of the configuration says how many layers there are.
        when: Whether a model of some configuration has it.
    """

    ours: str
    theirs: tuple[str, ...]
    rows: tuple[str, ...]
    columns: str | None = None
    split: Literal["rows", "columns"] | None = None
    join: Literal["blocks", "heads"] = "blocks"
    transposed: bool = False
    padded: bool = False
    layers: Literal["all", "dense", "experts"] = "all"
    count: str = "num_layers"
    when: Callable[[Any], bool] = _always


@dataclass(frozen=True)
class Piece:
    """A part of a tensor in a file: ``rows`` of it from ``start`` on, in our orientation.

    Attributes:
        tensor: Name of the tensor.
        shape: Of the whole tensor, as it lies in the file.
        start, rows: Which part of it.
        transposed: Whether its rows are the file's columns.
    """

    tensor: str
    shape: tuple[int, ...]
    start: int
    rows: int
    transposed: bool = False


@dataclass(frozen=True)
class Run:
    """Rows ``start`` to ``stop`` of one piece."""

    piece: int
    start: int
    stop: int


@dataclass(frozen=True)
class Weight:
    """One weight of the undivided model, and the pieces it is made of.

    Attributes:
        name: Of the engine.
        pieces: In the order in which they are joined.
        columns: Size of the second dimension; None for a vector.
        split, join, padded: As in :class:`Rule`.
        groups: Groups of heads that ``join="heads"`` takes turns over.
        expert: Number of the expert that it belongs to; None for all else.

    Example:
        Two groups of heads, each with two heads of queries, one of keys and one of values, of one row each:

        >>> pieces = (Piece("q", (4, 8), 0, 4), Piece("k", (2, 8), 0, 2), Piece("v", (2, 8), 0, 2))
        >>> weight = Weight("linear_qkv.weight", pieces, 8, "rows", "heads", groups=2)
        >>> [(weight.pieces[run.piece].tensor, run.start, run.stop) for run in weight.runs(1, 2, 4)]
        [('q', 2, 4), ('k', 1, 2), ('v', 1, 2)]
    """

    name: str
    pieces: tuple[Piece, ...]
    columns: int | None = None
    split: str | None = None
    join: str = "blocks"
    padded: bool = False
    groups: int = 1
    expert: int | None = None

    @property
    def rows(self) -> int:
        """Rows of the whole, without padding."""
        return sum(piece.rows for piece in self.pieces)

    def local_shape(self, parts: int, padded_rows: int | None = None) -> tuple[int, ...]:
        """Return the shape of each of ``parts`` shares."""
        rows = padded_rows if self.padded and padded_rows else self.rows
        first = rows // parts if self.split == "rows" else rows
        if self.columns is None:
            return (first,)
        return first, self.columns // parts if self.split == "columns" else self.columns

    def runs(self, part: int, parts: int, rows: int) -> list[Run]:
        """Return which rows make up one share, in order.

        Args:
            part: Number of the share.
            parts: How many there are.
            rows: Rows of the share; what no run gives is padding.
        """
        if self.split != "rows":
            return self._cut(0, self.rows)
        if self.join == "blocks" and not self.padded:
            each = [piece.rows // parts for piece in self.pieces]
            return [Run(n, part * size, (part + 1) * size) for n, size in enumerate(each)]
        return self._cut(part * rows, (part + 1) * rows)

    def columns_of(self, part: int, parts: int) -> slice:
        """Return which columns make up one share."""
        if self.split != "columns" or self.columns is None:
            return slice(0, self.columns)
        size = self.columns // parts
        return slice(part * size, (part + 1) * size)

    def _cut(self, start: int, stop: int) -> list[Run]:
        """Return the runs of rows ``start`` to ``stop`` of the whole."""
        found, position = [], 0
        for run in self._whole():
            end = position + run.stop - run.start
            first, last = max(start, position), min(stop, end)
            if first < last:
                found.append(Run(run.piece, run.start + first - position, run.start + last - position))
            position = end
        return found

    def _whole(self) -> Iterator[Run]:
        for group in range(self.groups if self.join == "heads" else 1):
            for number, piece in enumerate(self.pieces):
                size = piece.rows // (self.groups if self.join == "heads" else 1)
                yield Run(number, group * size, (group + 1) * size)


def expand(
    rules: Iterable[Rule], config: Any, sizes: Mapping[str, int], *, dense: Callable[[int], bool] = _always
) -> dict[str, Weight]:
    """Write rules out for one configuration.

    Args:
        rules: Of the family.
        config: Of the model; rules ask it whether they apply, and for the number of layers.
        sizes: What the names of sizes stand for; ``groups`` are those of heads, ``experts`` is the number of them.
        dense: Whether a layer has an ordinary feed-forward part.

    Returns:
        All weights of the undivided model by the engine's name, in the order of the layers.
    """
    before: list[Weight] = []
    layers: dict[tuple[str, int], list[Weight]] = {}
    after: list[Weight] = []
    for rule in rules:
        if not rule.when(config):
            continue
        if "{layer}" not in rule.ours:
            (after if layers else before).append(_weight(rule, sizes))
            continue
        for layer in range(getattr(config, rule.count)):
            if rule.layers == "all" or dense(layer) == (rule.layers == "dense"):
                place = layers.setdefault((rule.ours.partition("{layer}")[0], layer), [])
                experts = range(sizes["experts"]) if "{expert}" in rule.ours else (None,)
                place += [_weight(rule, sizes, layer, expert) for expert in experts]
    return {weight.name: weight for weight in (*before, *(each for part in layers.values() for each in part), *after)}


def _weight(rule: Rule, sizes: Mapping[str, int], layer: int | None = None, expert: int | None = None) -> Weight:
    def named(template: str) -> str:
        return template.replace("{layer}", str(layer)).replace("{expert}", str(expert))

    rows = [sizes[name] for name in rule.rows]
    columns = None if rule.columns is None else sizes[rule.columns]
    pieces, start = [], 0
    for number, size in enumerate(rows):
        fused = len(rule.theirs) < len(rows)
        whole = sum(rows) if fused else size
        shape = (whole,) if columns is None else (columns, whole) if rule.transposed else (whole, columns)
        tensor = named(rule.theirs[0 if fused else number])
        pieces.append(Piece(tensor, shape, start if fused else 0, size, rule.transposed and columns is not None))
        start += size
    return Weight(
        named(rule.ours),
        tuple(pieces),
        columns,
        rule.split,
        rule.join,
        rule.padded,
        sizes["groups"] if rule.join == "heads" else 1,
        expert,
    )
