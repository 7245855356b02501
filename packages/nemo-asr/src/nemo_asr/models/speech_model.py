"""What all models that hear speech share: features, steps of training and evaluation, and a copy for inference."""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import torch
from torch import Tensor

from nemo_asr.data.batch import SpeechBatch
from nemo_asr.models.scores import Scores
from nemo_core.models import Model

if TYPE_CHECKING:
    from nemo_core.audio.front_end import FrontEnd

__all__ = ["SpeechModel"]

S = TypeVar("S", bound=Scores)


class SpeechModel(Model, abc.ABC, Generic[S]):
    """Base of the models that hear speech.

    A subclass says how a batch becomes a loss (:meth:`loss_on`) and how it is scored (:meth:`new_scores`,
    :meth:`score`). Here are the steps of training and evaluation, which log ``train_loss``, and of each score
    ``val_NAME`` and ``test_NAME``. Of several validation or test sets, these are over all of them, and each has its own
    under ``val_NAME/SET``.

    Attributes:
        preprocessor: Audio to features.
        headline: The score that the progress bar shows.
    """

    preprocessor: FrontEnd
    headline: str

    def __init__(self) -> None:
        super().__init__()
        # By number of the loader. Not modules: how many there are depends on the data; they are no part of the model.
        self._scores: dict[int, S] = {}

    @abc.abstractmethod
    def loss_on(self, batch: SpeechBatch) -> Tensor:
        """Return the loss on ``batch``, a scalar."""

    @abc.abstractmethod
    def new_scores(self) -> S:
        """Return the scores of nothing yet."""

    @abc.abstractmethod
    def score(self, scores: S, batch: SpeechBatch) -> None:
        """Add what the model does with ``batch`` to ``scores``."""

    @property
    def sample_rate(self) -> int:
        """Rate of the audio that the model hears, Hz."""
        return self.preprocessor.sample_rate

    def for_inference(self) -> Self:
        """Return this model in evaluation mode, without changing it.

        Where it is in training mode, the answer is a second model over the same weights, so that inference in one
        thread does not disturb training, or other inference, in another.
        """
        if not any(module.training for module in self.modules()):
            return self
        shared: Iterable[Tensor] = chain(self.parameters(), self.buffers())
        memo = {id(tensor): tensor for tensor in shared}
        twin = copy.copy(self)
        twin.__dict__["_modules"] = {name: copy.deepcopy(part, memo) for name, part in self._modules.items()}
        return twin.eval()

    def training_step(self, batch: SpeechBatch, batch_index: int) -> Tensor:
        """Return the loss to minimise."""
        if batch.skipped:
            self.log("train_skipped", float(batch.skipped), on_step=False, on_epoch=True, reduce_fx="sum")
        if not batch.texts:
            # All of the batch was damaged. A zero that depends on every weight keeps distributed processes in step.
            return torch.stack([weight.sum() * 0.0 for weight in self.parameters() if weight.requires_grad]).sum()
        loss = self.loss_on(batch)
        self.log("train_loss", loss, prog_bar=True, batch_size=len(batch.texts))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the scores of the evaluation before."""
        self._scores = {}

    def validation_step(self, batch: SpeechBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Score ``batch``."""
        self._evaluate(batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Log the scores of each validation set and of all together."""
        self._log_scores("val", "validation")

    def on_test_epoch_start(self) -> None:
        """Forget the scores of the evaluation before."""
        self._scores = {}

    def test_step(self, batch: SpeechBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Score ``batch``."""
        self._evaluate(batch, dataloader_idx)

    def on_test_epoch_end(self) -> None:
        """Log the scores of each test set and of all together."""
        self._log_scores("test", "test")

    def _evaluate(self, batch: SpeechBatch, place: int) -> None:
        if place not in self._scores:
            self._scores[place] = self.new_scores()
        self._scores[place].skip(batch.skipped)
        if batch.texts:
            self.score(self._scores[place], batch)

    def _log_scores(self, prefix: str, split: str) -> None:
        sets = [self._scores[place] for place in sorted(self._scores)]
        self._log(prefix, "", self.new_scores().merge(sets))
        datamodule = getattr(self.trainer, "datamodule", None)
        names: list[str] = datamodule.names(split) if datamodule is not None and hasattr(datamodule, "names") else []
        if len(names) == len(sets):
            for name, scores in zip(names, sets, strict=True):
                self._log(prefix, f"/{name}", scores)

    def _log(self, prefix: str, suffix: str, scores: S) -> None:
        for name, value in scores.compute().items():
            if name != "skipped" or value > 0:
                self.log(f"{prefix}_{name}{suffix}", value, prog_bar=name == self.headline and not suffix)
