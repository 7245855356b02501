"""Word and character error rate."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from kaldialign import edit_distance
from torch import Tensor
from torchmetrics import Metric

from nemo_core.errors import DataError

__all__ = ["CharErrorRate", "ErrorRate", "WordErrorRate"]


class ErrorRate(Metric):
    """Edits that turn the hypotheses into the references, per unit of the references.

    The state is sums, so that processes and batches add up to the rate of the whole, not to a mean of rates.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = False

    substitutions: Tensor
    insertions: Tensor
    deletions: Tensor
    units: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("substitutions", "insertions", "deletions", "units"):
            self.add_state(name, default=torch.tensor(0, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, references: Sequence[str], hypotheses: Sequence[str]) -> None:
        """Add utterances: what was said, and what was heard."""
        if len(references) != len(hypotheses):
            raise DataError(f"{len(references)} references, but {len(hypotheses)} hypotheses")
        for reference, hypothesis in zip(references, hypotheses, strict=True):
            said = self.split(reference)
            edits = edit_distance(said, self.split(hypothesis))
            self.substitutions += edits["sub"]
            self.insertions += edits["ins"]
            self.deletions += edits["del"]
            self.units += len(said)

    def compute(self) -> Tensor:
        """Return the rate: 0 is perfect, 1 as many errors as units, and more is possible; NaN before any reference."""
        return (self.substitutions + self.insertions + self.deletions).float() / self.units

    @staticmethod
    def split(text: str) -> list[str]:
        """Return the units of ``text``."""
        raise NotImplementedError


class WordErrorRate(ErrorRate):
    """Word error rate: substituted, inserted and deleted words, per word that was said.

    Example:
        >>> wer = WordErrorRate()
        >>> wer.update(["one two three four"], ["one too three four five"])
        >>> float(wer.compute())
        0.5
    """

    @staticmethod
    def split(text: str) -> list[str]:
        """Return the words of ``text``."""
        return text.split()


class CharErrorRate(ErrorRate):
    """Character error rate; spaces between words count, those at the ends and doubled ones do not.

    Example:
        >>> cer = CharErrorRate()
        >>> cer.update(["one two"], ["one  too"])
        >>> round(float(cer.compute()), 4)
        0.1429
    """

    @staticmethod
    def split(text: str) -> list[str]:
        """Return the characters of ``text``."""
        return list(" ".join(text.split()))
