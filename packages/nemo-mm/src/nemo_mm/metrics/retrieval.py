"""What vectors of two kinds are worth: is the nearest one the right one?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed

from nemo_mm.losses.gathering import rank_and_count

if TYPE_CHECKING:
    from nemo_mm.losses.contrastive import ContrastiveLoss

__all__ = ["EmbeddingScores", "recall_at"]

_ROWS = 1024  # queries that are compared at once


def recall_at(
    queries: Tensor, candidates: Tensor, wanted: Tensor, labels: Tensor, places: tuple[int, ...] = (1, 5)
) -> dict[int, float]:
    """Return for each of ``places`` in how many cases a right candidate is among so many nearest.

    Args:
        queries: Vectors of length 1, (N, D).
        candidates: Likewise, (M, D).
        wanted: Label that each query looks for, (N,).
        labels: Label of each candidate, (M,).
        places: How many of the nearest count.

    Example:
        >>> same = torch.arange(3)
        >>> recall_at(torch.eye(3), torch.eye(3)[[0, 2, 1]], same, same, places=(1, 3))
        {1: 0.3333333333333333, 3: 1.0}
    """
    hits = dict.fromkeys(places, 0)
    deepest = min(max(places), len(candidates))
    for start in range(0, len(queries), _ROWS):
        rows = slice(start, start + _ROWS)
        nearest = (queries[rows] @ candidates.T).topk(deepest, dim=1).indices
        right = labels[nearest] == wanted[rows, None]
        for place in places:
            hits[place] += int(right[:, :place].any(1).sum())
    return {place: count / len(queries) for place, count in hits.items()}


class EmbeddingScores:
    """The vectors of an evaluation, and what they are worth; over all processes.

    Example:
        >>> scores = EmbeddingScores()
        >>> scores.update(torch.eye(4), torch.eye(4), None)
        >>> from nemo_mm.losses import SoftmaxLoss
        >>> found = scores.compute(SoftmaxLoss(), ("image", "text"))
        >>> found["image_to_text_r1"], found["text_to_image_r5"]
        (1.0, 1.0)
    """

    def __init__(self) -> None:
        self._first: list[Tensor] = []
        self._second: list[Tensor] = []
        self._labels: list[Tensor | None] = []
        self._skipped = 0
        self._chosen, self._choices = 0, 0

    def skip(self, count: int) -> None:
        """Add pairs that were left out."""
        self._skipped += count

    def update(self, first: Tensor, second: Tensor, labels: Tensor | None) -> None:
        """Add the vectors of a batch, (B, D) each, and the class of each pair, (B,)."""
        self._first.append(first.detach())
        self._second.append(second.detach())
        self._labels.append(labels)

    def choose(self, first: Tensor, second: Tensor, others: Tensor, owners: Tensor) -> None:
        """Count where ``second`` (B, D) fits ``first`` (B, D) better than its rivals among ``others`` (M, D).

        Args:
            first: Vectors of length 1.
            second: Likewise.
            others: Likewise.
            owners: Which of the first each of the others is compared with, (M,).

        Example:
            >>> scores = EmbeddingScores()
            >>> eye = torch.eye(2)
            >>> scores.update(eye, eye, None)
            >>> scores.choose(eye, eye, torch.tensor([[0.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 1]))
            >>> from nemo_mm.losses import SoftmaxLoss
            >>> scores.compute(SoftmaxLoss(), ("image", "text"))["choice_accuracy"]
            0.5
        """
        asked = torch.zeros(len(first), dtype=torch.bool, device=first.device)
        asked[owners] = True
        rivals = torch.full((len(first),), -2.0, device=first.device)
        rivals.scatter_reduce_(0, owners, (first[owners] * others).sum(1), "amax")
        self._chosen += int((((first * second).sum(1) > rivals) & asked).sum())
        self._choices += int(asked.sum())

    @torch.no_grad()
    def compute(
        self,
        loss: ContrastiveLoss,
        kinds: tuple[str, str],
        classes: Tensor | None = None,
        classified: int = 0,
    ) -> dict[str, float]:
        """Return ``loss``, ``A_to_B_r1`` and ``A_to_B_r5`` for both directions; ``accuracy`` where there are classes.

        A pair without a label is the only right answer to itself; with labels, any of the same label is.

        Args:
            loss: That of the model; it is taken over all pairs at once, and so depends on how many there are.
            kinds: Names of the two kinds.
            classes: Vectors of the classes, (C, D).
            classified: Which of the two kinds is compared with them.
        """
        if not self._first and rank_and_count()[1] == 1:
            return {"skipped": float(self._skipped)}
        first, second, labels, (skipped, chosen, choices) = self._gathered()
        own = torch.arange(len(first), device=first.device) if labels is None else labels
        found: dict[str, float] = {}
        gathered, loss.gathered = loss.gathered, False
        chunk, loss.chunk_size = loss.chunk_size, loss.chunk_size or _ROWS
        try:
            found["loss"] = float(loss(first=first, second=second, labels=labels))
        finally:
            loss.gathered, loss.chunk_size = gathered, chunk
        here, there = kinds
        for name, queries, candidates in ((f"{here}_to_{there}", first, second), (f"{there}_to_{here}", second, first)):
            for place, share in recall_at(queries, candidates, own, own).items():
                found[f"{name}_r{place}"] = share
        if classes is not None and labels is not None:
            nearest = ((first, second)[classified] @ classes.to(first.device).T).argmax(1)
            found["accuracy"] = float((nearest == labels).float().mean())
        if choices:
            found["choice_accuracy"] = chosen / choices
        if skipped:
            found["skipped"] = float(skipped)
        return found

    def _gathered(self) -> tuple[Tensor, Tensor, Tensor | None, tuple[int, int, int]]:
        whole = bool(self._labels) and all(label is not None for label in self._labels)
        labels = torch.cat([label for label in self._labels if label is not None]) if whole else None
        mine = (
            torch.cat(self._first) if self._first else None,
            torch.cat(self._second) if self._second else None,
            labels,
            (self._skipped, self._chosen, self._choices),
        )
        count = rank_and_count()[1]
        if count == 1:
            assert mine[0] is not None
            assert mine[1] is not None
            return mine[0], mine[1], mine[2], mine[3]
        told: list[Any] = [None] * count
        cpu = tuple(each.cpu() if isinstance(each, Tensor) else each for each in mine)
        distributed.all_gather_object(told, cpu)
        there = [each for each in told if each[0] is not None]
        every = [torch.cat([each[place] for each in there]) for place in (0, 1)]
        classes = [each[2] for each in there if each[2] is not None]
        together = torch.cat(classes) if len(classes) == len(there) else None
        skipped, chosen, choices = (sum(each[3][place] for each in told) for place in range(3))
        return every[0], every[1], together, (skipped, chosen, choices)
