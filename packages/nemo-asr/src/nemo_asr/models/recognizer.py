"""What all speech recognition models share: error rates and transcription."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nemo_asr.data.batch import SpeechBatch
from nemo_asr.decoding.align import align
from nemo_asr.decoding.ctc_greedy import TokenPath
from nemo_asr.decoding.hypothesis import Hypothesis
from nemo_asr.decoding.punctuation import close_up, find_marks
from nemo_asr.models.scores import TextScores
from nemo_asr.models.speech_model import SpeechModel
from nemo_asr.tokenizers.aggregate import AggregateTokenizer
from nemo_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nemo_asr.tokenizers.base import Tokenizer

__all__ = ["SpeechRecognizer"]


class SpeechRecognizer(SpeechModel[TextScores]):
    """Base of the models that turn speech into text.

    A subclass says how a batch becomes a loss (:meth:`loss_on`) and how audio becomes hypotheses (:meth:`recognize`).
    Here are the error rates of evaluation, ``val_wer``, ``val_cer`` and the same for ``test``, and :meth:`transcribe`.
    """

    tokenizer: Tokenizer
    headline = "wer"
    takes_prompts = False

    @abc.abstractmethod
    def recognize(self, audio: Tensor, length: Tensor, *, timestamps: bool = False) -> list[Hypothesis]:
        """Return what is said in ``audio`` (B, T) of ``length`` (B,) samples.

        Where ``takes_prompts``, there is also ``prompts``: for each utterance what :meth:`encode_prompt` returns.
        """

    def prompt_fields(self, prompt: Mapping[str, Any], *, timestamps: bool = False) -> Mapping[str, Any]:
        """Return the fields of the prompt that asks for ``prompt``, and for times if ``timestamps``.

        Raises:
            ConfigError: The model takes no prompts, or not this one.
        """
        if prompt:
            raise ConfigError(f"{type(self).__name__} takes no prompt", hint=f"leave out {', '.join(prompt)}")
        return {}

    def encode_prompt(self, fields: Mapping[str, Any]) -> Sequence[int]:
        """Return the tokens of the prompt that ``fields`` ask for; none for a model that takes no prompts.

        Raises:
            DataError: A field says what the model does not know.
        """
        return ()

    def transcribe(self, audio: Any, *, return_hypotheses: bool = True, **options: Any) -> list[Any]:
        """Return what is said in ``audio``.

        Args:
            audio: What :func:`nemo_asr.transcription.transcribe` takes.
            return_hypotheses: Whether the answers are hypotheses; else, texts. These cannot say what is wrong with a
                damaged audio, so that it raises unless ``on_error`` is ``keep``.
            options: Those of :func:`nemo_asr.transcription.transcribe`.
        """
        from nemo_asr.transcription import transcribe

        if return_hypotheses:
            return transcribe(self, audio, **options)
        return [each.text for each in transcribe(self, audio, **{"on_error": "raise", **options})]

    def new_scores(self) -> TextScores:
        """Return error rates of nothing yet."""
        return TextScores(self.device)

    def score(self, scores: TextScores, batch: SpeechBatch) -> None:
        """Add the loss and the errors on ``batch`` to ``scores``."""
        scores.update(batch, *self.loss_and_hypotheses(batch))

    def loss_and_hypotheses(self, batch: SpeechBatch) -> tuple[Tensor, list[Hypothesis]]:
        """Return both for evaluation; a subclass that can encode once for the two overrides this."""
        return self.loss_on(batch), self.recognize(batch.audio, batch.length)

    def hypotheses(
        self, paths: Sequence[TokenPath], samples: Tensor, stride: float, timestamps: bool
    ) -> list[Hypothesis]:
        """Return what decoding has found as text.

        Args:
            paths: The tokens of each utterance, and their frames.
            samples: Samples of each utterance (B,).
            stride: Seconds from one frame to the next.
            timestamps: Whether hypotheses say when tokens are said.
        """
        found = []
        for path, count in zip(paths, samples.tolist(), strict=True):
            duration = count / self.sample_rate
            (text,) = close_up([self.tokenizer.decode(path.tokens)], self._marks)
            pieces = close_up(self.tokenizer.pieces(path.tokens), self._marks) if timestamps else []
            times = align(path, pieces, stride, duration) if timestamps else None
            found.append(Hypothesis(text, path.score, path.tokens, duration, times))
        return found

    @cached_property
    def _marks(self) -> frozenset[str]:
        return find_marks(self.tokenizer.vocabulary)

    def encode_texts(self, batch: SpeechBatch) -> tuple[Tensor, Tensor]:
        """Return the tokens (B, U) of a batch's texts, padded with zeros, and their lengths (B,).

        Raises:
            DataError: A text has what the tokenizer does not know; the message says where it comes from.
        """
        encoded = []
        for text, name, fields in zip(batch.texts, batch.names, batch.known(), strict=True):
            try:
                encoded.append(torch.tensor(self.encode_text(text, fields), dtype=torch.long))
            except DataError as error:
                raise DataError(f"{name}: {error.message}", hint=error.hint) from error
        length = torch.tensor([len(tokens) for tokens in encoded])
        padded = nn.utils.rnn.pad_sequence(encoded, batch_first=True)
        return padded.to(batch.audio.device), length.to(batch.audio.device)

    def encode_text(self, text: str, fields: Mapping[str, Any]) -> list[int]:
        """Return the tokens of ``text``, in the language that ``fields`` name where the tokenizer has several.

        Raises:
            DataError: The text has what the tokenizer does not know, or the language is missing or not known.
        """
        if isinstance(self.tokenizer, AggregateTokenizer):
            lang = fields.get("lang", fields.get("target_lang"))
            return self.tokenizer.encode(text, None if lang is None else str(lang))
        return self.tokenizer.encode(text)
