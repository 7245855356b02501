"""What an evaluation adds up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric, SumMetric

from nemo_asr.data.batch import SpeechBatch
from nemo_asr.decoding.hypothesis import Hypothesis
from nemo_asr.metrics import CharErrorRate, WordErrorRate

__all__ = ["LabelScores", "Scores", "TextScores"]


class Scores:
    """Metrics of one data set; sums, which batches and processes add to.

    Args:
        device: Where the sums are kept.
        metrics: What is measured beside the loss and the number of skipped items, by name.
    """

    def __init__(self, device: torch.device | str, metrics: Mapping[str, Metric]) -> None:
        self.device = device
        every = {"loss": MeanMetric(), **metrics, "skipped": SumMetric()}
        self.metrics: dict[str, Metric] = {name: metric.to(device) for name, metric in every.items()}
        # torchmetrics takes metrics that nothing was added to for mistakes; a set without sound items is none, nor is
        # one that others are merged into.
        self.metrics["loss"].update(0.0, weight=0.0)
        self.skip(0)

    def skip(self, count: int) -> None:
        """Add items that were left out."""
        self.metrics["skipped"].update(count)

    def merge(self, others: Sequence[Scores]) -> Self:
        """Add what ``others`` have counted, and return this."""
        for other in others:
            for name, metric in self.metrics.items():
                metric.merge_state(other.metrics[name])
        return self

    def compute(self) -> dict[str, Tensor]:
        """Return all values, over all processes."""
        return {name: metric.compute() for name, metric in self.metrics.items()}


class TextScores(Scores):
    """Loss, error rates and the number of skipped items of recognition.

    Example:
        >>> scores = TextScores("cpu")
        >>> batch = SpeechBatch(torch.zeros(1, 8000), torch.tensor([8000]), ["one two"], ["a.wav"])
        >>> scores.update(batch, torch.tensor(0.5), [Hypothesis("one too")])
        >>> values = scores.compute()
        >>> float(values["loss"]), float(values["wer"]), float(values["skipped"])
        (0.5, 0.5, 0.0)
    """

    def __init__(self, device: torch.device | str) -> None:
        super().__init__(device, {"wer": WordErrorRate(), "cer": CharErrorRate()})
        self.metrics["wer"].update([], [])
        self.metrics["cer"].update([], [])

    def update(self, batch: SpeechBatch, loss: Tensor, hypotheses: Sequence[Hypothesis]) -> None:
        """Add a batch, its mean loss and what was heard in it."""
        heard = [hypothesis.text for hypothesis in hypotheses]
        self.metrics["loss"].update(loss.detach(), weight=len(batch.texts))
        self.metrics["wer"].update(batch.texts, heard)
        self.metrics["cer"].update(batch.texts, heard)


class LabelScores(Scores):
    """Loss, accuracy and the number of skipped items of classification.

    Example:
        >>> scores = LabelScores("cpu")
        >>> scores.update(torch.tensor([[2.0, 1.0], [3.0, 4.0]]), torch.tensor([0, 0]), torch.tensor(0.5))
        >>> float(scores.compute()["accuracy"])
        0.5
    """

    def __init__(self, device: torch.device | str) -> None:
        super().__init__(device, {"accuracy": MeanMetric()})
        self.metrics["accuracy"].update(0.0, weight=0.0)

    def update(self, logits: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Add the logits (B, C) of a batch, its classes (B,) and its mean loss."""
        self.metrics["loss"].update(loss.detach(), weight=len(targets))
        self.metrics["accuracy"].update((logits.argmax(dim=1) == targets).float())
