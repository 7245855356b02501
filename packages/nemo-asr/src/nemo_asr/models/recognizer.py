"""What all speech recognition models share: features, evaluation and transcription."""

from __future__ import annotations

import abc
import copy
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from nemo_asr.data.batch import SpeechBatch
from nemo_asr.decoding.hypothesis import Hypothesis
from nemo_asr.models.scores import Scores
from nemo_core.errors import DataError
from nemo_core.models import Model

if TYPE_CHECKING:
    from nemo_asr.modules.mel import MelSpectrogram
    from nemo_asr.tokenizers.base import Tokenizer

__all__ = ["SpeechRecognizer"]


class SpeechRecognizer(Model, abc.ABC):
    """Base of the models that turn speech into text.

    A subclass says how a batch becomes a loss (:meth:`loss_on`) and how audio becomes hypotheses (:meth:`recognize`).
    Here are the steps of training and evaluation, which log ``train_loss``, ``val_loss``, ``val_wer``, ``val_cer`` and
    the same for ``test``, and :meth:`transcribe`. Of several validation or test sets, these are over all of them, and
    each has its own under ``val_wer/NAME``.
    """

    preprocessor: MelSpectrogram
    tokenizer: Tokenizer

    def __init__(self) -> None:
        super().__init__()
        # By number of the loader. Not modules: how many there are depends on the data; they are no part of the model.
        self._scores: dict[int, Scores] = {}

    @abc.abstractmethod
    def loss_on(self, batch: SpeechBatch) -> Tensor:
        """Return the loss on ``batch``, a scalar."""

    @abc.abstractmethod
    def recognize(self, audio: Tensor, length: Tensor, *, timestamps: bool = False) -> list[Hypothesis]:
        """Return what is said in ``audio`` (B, T) of ``length`` (B,) samples."""

    @property
    def sample_rate(self) -> int:
        """Rate of the audio that the model hears, Hz."""
        return self.preprocessor.sample_rate

    def transcribe(self, audio: Any, **options: Any) -> list[Hypothesis]:
        """Return what is said in ``audio``; see :func:`nemo_asr.transcription.transcribe` for what may be given."""
        from nemo_asr.transcription import transcribe

        return transcribe(self, audio, **options)

    def for_inference(self) -> Self:
        """Return this model in evaluation mode, without changing it.

        Where it is in training mode, the answer is a second model over the same weights, so that transcribing in one
        thread does not disturb training, or other transcriptions, in another.
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
        scores = self._scores.setdefault(place, Scores(self.device))
        scores.skip(batch.skipped)
        if batch.texts:
            scores.update(batch, *self.loss_and_hypotheses(batch))

    def _log_scores(self, prefix: str, split: str) -> None:
        sets = [self._scores[place] for place in sorted(self._scores)]
        self._log(prefix, "", Scores(self.device).merge(sets))
        datamodule = getattr(self.trainer, "datamodule", None)
        names: list[str] = datamodule.names(split) if datamodule is not None and hasattr(datamodule, "names") else []
        if len(names) == len(sets):
            for name, scores in zip(names, sets, strict=True):
                self._log(prefix, f"/{name}", scores)

    def _log(self, prefix: str, suffix: str, scores: Scores) -> None:
        for name, value in scores.compute().items():
            if name != "skipped" or value > 0:
                self.log(f"{prefix}_{name}{suffix}", value, prog_bar=name == "wer" and not suffix)

    def loss_and_hypotheses(self, batch: SpeechBatch) -> tuple[Tensor, list[Hypothesis]]:
        """Return both for evaluation; a subclass that can encode once for the two overrides this."""
        return self.loss_on(batch), self.recognize(batch.audio, batch.length)

    def encode_texts(self, batch: SpeechBatch) -> tuple[Tensor, Tensor]:
        """Return the tokens (B, U) of a batch's texts, padded with zeros, and their lengths (B,).

        Raises:
            DataError: A text has what the tokenizer does not know; the message says where it comes from.
        """
        encoded = []
        for text, name in zip(batch.texts, batch.names, strict=True):
            try:
                encoded.append(torch.tensor(self.tokenizer.encode(text), dtype=torch.long))
            except DataError as error:
                raise DataError(f"{name}: {error.message}", hint=error.hint) from error
        length = torch.tensor([len(tokens) for tokens in encoded])
        padded = nn.utils.rnn.pad_sequence(encoded, batch_first=True)
        return padded.to(batch.audio.device), length.to(batch.audio.device)
