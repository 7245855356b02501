"""Recognition and translation with an attention encoder-decoder that is told what to do."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nemo_asr.data.batch import SpeechBatch
from nemo_asr.decoding.aed_beam import aed_beam_search
from nemo_asr.decoding.aed_greedy import AEDLimits, aed_greedy_search
from nemo_asr.decoding.ctc_greedy import TokenPath
from nemo_asr.decoding.hypothesis import Hypothesis
from nemo_asr.decoding.timed_text import read_times
from nemo_asr.losses.smoothed_cross_entropy import SmoothedCrossEntropyLoss
from nemo_asr.models.recognizer import SpeechRecognizer
from nemo_asr.modules.encoder import AcousticEncoder
from nemo_asr.modules.spec_augment import SpecAugment
from nemo_asr.modules.token_classifier import TokenClassifier
from nemo_asr.modules.transformer_decoder import TransformerDecoder
from nemo_asr.modules.transformer_encoder import TransformerEncoder
from nemo_asr.prompts.base import PromptFormat
from nemo_asr.tokenizers.canary import PromptTokenizer
from nemo_core import types as nt
from nemo_core.audio.mel import MelSpectrogram
from nemo_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nemo_core.models import NvidiaModel

__all__ = ["MultitaskModel"]


class MultitaskModel(SpeechRecognizer):
    """Features, an acoustic encoder, and a Transformer decoder that reads a prompt and then writes (Canary).

    Canary: Puvvada et al., 2024, arXiv:2406.19674. The decoder's vectors of tokens are the weights of the output layer
    too. Where encoder and decoder differ in size, there is a linear layer between them.

    Args:
        preprocessor: Audio to features.
        encoder: Features to encoded frames.
        decoder: Tokens and frames to hidden states; has an output for every token, and may have more.
        tokenizer: Text and special tokens to tokens, and back.
        prompt: Which fields a prompt has, and how they become tokens.
        transformer_encoder: What frames go through before the decoder.
        spec_augment: What features go through in training.
        label_smoothing: See :class:`~nemo_asr.losses.smoothed_cross_entropy.SmoothedCrossEntropyLoss`.
        use_loss_mask_for_prompt: Whether the loss leaves out the tokens of the prompt.
        classifier_dropout: Probability of a dropped hidden state before the output layer.
        max_length: Most tokens of prompt and answer together; None for one more than the decoder has positions.
        max_generation_delta: How many tokens these may be more than there are frames; None for any number.
        beam_size: How many answers the search follows; 1 for greedy search.
        length_penalty: See :func:`~nemo_asr.decoding.aed_beam.aed_beam_search`.
        min_duration: Shorter audio is recognised with silence on both sides, so that it lasts this long, seconds.

    Example:
        >>> from nemo_asr.modules import ConvASREncoder
        >>> from nemo_asr.prompts import CanaryPrompt
        >>> from nemo_asr.tokenizers import CanaryTokenizer, CharTokenizer, SpecialTokens
        >>> tokenizer = CanaryTokenizer({"spl_tokens": SpecialTokens(["en"]), "en": CharTokenizer(" no")})
        >>> model = MultitaskModel(
        ...     preprocessor=MelSpectrogram(8000, features=40),
        ...     encoder=ConvASREncoder([{"filters": 32, "kernel": 11, "stride": 2}], feat_in=40),
        ...     decoder=TransformerDecoder(len(tokenizer), hidden_size=16, num_layers=1, inner_size=32),
        ...     tokenizer=tokenizer,
        ...     prompt=CanaryPrompt(),
        ...     max_length=12,
        ... ).eval()
        >>> hypothesis, = model.transcribe(torch.randn(8000), pnc="no")
        >>> hypothesis.duration
        1.0
    """

    encoder: AcousticEncoder
    tokenizer: PromptTokenizer
    takes_prompts = True

    def __init__(
        self,
        preprocessor: MelSpectrogram,
        encoder: AcousticEncoder,
        decoder: TransformerDecoder,
        tokenizer: PromptTokenizer,
        prompt: PromptFormat,
        transformer_encoder: TransformerEncoder | None = None,
        spec_augment: SpecAugment | None = None,
        label_smoothing: float = 0.0,
        use_loss_mask_for_prompt: bool = False,
        classifier_dropout: float = 0.0,
        max_length: int | None = None,
        max_generation_delta: int | None = None,
        beam_size: int = 1,
        length_penalty: float = 0.0,
        min_duration: float = 0.0,
    ) -> None:
        super().__init__()
        if decoder.vocab_size < len(tokenizer):
            raise ConfigError(
                f"the decoder has {decoder.vocab_size} tokens, but the tokenizer {len(tokenizer)}",
                hint="set decoder.vocab_size to how many there are, or more",
            )
        if beam_size < 1:
            raise ConfigError(f"beam_size is {beam_size}", hint="give at least 1, which is greedy search")
        if transformer_encoder is not None and transformer_encoder.hidden_size != decoder.hidden_size:
            raise ConfigError(
                f"the Transformer encoder has a hidden_size of {transformer_encoder.hidden_size}, "
                f"but the decoder of {decoder.hidden_size}",
                hint="give both the same",
            )
        self.preprocessor = preprocessor
        self.encoder = encoder
        different = encoder.feat_out != decoder.hidden_size
        self.projection = nn.Linear(encoder.feat_out, decoder.hidden_size) if different else None
        self.transformer_encoder = transformer_encoder
        self.decoder = decoder
        self.classifier = TokenClassifier(decoder.hidden_size, decoder.vocab_size, classifier_dropout)
        self.classifier.tie(decoder.embedding.token_embedding)
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.spec_augment = spec_augment
        self.use_loss_mask_for_prompt = use_loss_mask_for_prompt
        self.beam_size = beam_size
        self.length_penalty = length_penalty
        self.min_duration = min_duration
        self.limits = AEDLimits(tokenizer.end, tokenizer.padding, len(tokenizer), max_length, max_generation_delta)
        self.loss = SmoothedCrossEntropyLoss(label_smoothing)

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``audio`` (B, T), ``length`` (B,) in samples, and ``tokens`` (B, U)."""
        return {**self.preprocessor.input_types, "tokens": self.decoder.input_types["tokens"]}

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``log_probs`` (B, U, V)."""
        return self.classifier.output_types

    @property
    def frame_stride(self) -> float:
        """Seconds from one encoder frame to the next."""
        return self.preprocessor.frame_stride * self.encoder.stride

    @nt.typed
    def forward(self, audio: Tensor, length: Tensor, tokens: Tensor) -> Tensor:
        """Return the log-probabilities (B, U, V) of what follows each of ``tokens`` (B, U)."""
        encoded, length = self.encode(audio, length)
        return self.classifier(hidden=self.decoder(tokens=tokens, encoded=encoded, length=length))

    def encode(self, audio: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Return the frames (B, D, T') that the decoder attends to, and their lengths (B,)."""
        features, length = self.preprocessor(audio=audio, length=length)
        if self.spec_augment is not None:
            features = self.spec_augment(features=features, length=length)
        encoded, length = self.encoder(features=features, length=length)
        if self.projection is not None:
            encoded = self.projection(encoded.transpose(1, 2)).transpose(1, 2)
        if self.transformer_encoder is not None:
            encoded = self.transformer_encoder(encoded=encoded, length=length)
        return encoded, length

    def loss_on(self, batch: SpeechBatch) -> Tensor:
        """Return the loss on ``batch``, whose fields say what the prompts are."""
        return self._loss(batch, *self.encode(batch.audio, batch.length))

    def loss_and_hypotheses(self, batch: SpeechBatch) -> tuple[Tensor, list[Hypothesis]]:
        """Return loss and hypotheses of one pass through the encoder."""
        encoded, length = self.encode(batch.audio, batch.length)
        prompts = [prompt for prompt, _ in self._examples(batch)]
        paths = self._decode(encoded, length, prompts)
        durations = [count / self.sample_rate for count in batch.length.tolist()]
        hypotheses = [self._hypothesis(*each, timestamps=False) for each in zip(paths, durations, strict=True)]
        return self._loss(batch, encoded, length), hypotheses

    def recognize(
        self,
        audio: Tensor,
        length: Tensor,
        *,
        timestamps: bool = False,
        prompts: Sequence[Sequence[int]] | None = None,
    ) -> list[Hypothesis]:
        """Return the answers to ``audio`` (B, T).

        Args:
            audio: Samples (B, T).
            length: Samples of each utterance (B,).
            timestamps: Whether the answers have times, which is to be read; the prompts must ask for them.
            prompts: What each utterance's decoder reads first (see :meth:`encode_prompt`); that of no fields if not
                given.
        """
        if prompts is None:
            prompts = [self.encode_prompt(self.prompt_fields({}, timestamps=timestamps))] * len(audio)
        durations = [count / self.sample_rate for count in length.tolist()]
        audio, length = pad_short(audio, length, round(self.min_duration * self.sample_rate))
        encoded, length = self.encode(audio, length)
        paths = self._decode(encoded, length, prompts)
        return [self._hypothesis(*each, timestamps) for each in zip(paths, durations, strict=True)]

    def transcribe(self, audio: Any, **options: Any) -> list[Any]:
        """Return what is said in ``audio``, or its translation.

        Args:
            audio: What :func:`nemo_asr.transcription.transcribe` takes.
            options: Its options; all others are fields of the prompt, such as ``target_lang="de"``. A line of a
                manifest that has such a field has its way.

        Raises:
            ConfigError: The prompt has no such field, or it cannot say this.
        """
        from nemo_asr.transcription import transcribe

        known = {"return_hypotheses", *inspect.signature(transcribe).parameters}
        fields = {name: options.pop(name) for name in list(options) if name not in known}
        return super().transcribe(audio, prompt={**(options.pop("prompt", None) or {}), **fields}, **options)

    def prompt_fields(self, prompt: Mapping[str, Any], *, timestamps: bool = False) -> Mapping[str, Any]:
        """Return the fields of the prompt that asks for ``prompt``, and for times if ``timestamps``.

        Raises:
            ConfigError: The prompt has no such field, or it cannot say this.
        """
        self.prompt.check(prompt)
        if not timestamps:
            return prompt
        if self.prompt.timestamps is None:
            raise ConfigError(
                f"prompts of the format {type(self.prompt).__name__} cannot ask for times", hint="leave out timestamps"
            )
        return {**prompt, self.prompt.timestamps: "yes"}

    def encode_prompt(self, fields: Mapping[str, Any]) -> Sequence[int]:
        """Return the tokens of the prompt that ``fields`` ask for.

        Raises:
            DataError: A field says what the model does not know.
        """
        return self.prompt.encode(fields, self.tokenizer)

    def _decode(self, encoded: Tensor, length: Tensor, prompts: Sequence[Sequence[int]]) -> list[TokenPath]:
        parts = (self.decoder, self.classifier, encoded, length, prompts, self.limits)
        if self.beam_size == 1:
            return aed_greedy_search(*parts)
        return aed_beam_search(*parts, self.beam_size, self.length_penalty)

    def _hypothesis(self, path: TokenPath, duration: float, timestamps: bool) -> Hypothesis:
        text, alignment = self.tokenizer.decode(path.tokens), None
        if timestamps:
            text, alignment = read_times(text, self.frame_stride, duration)
        return Hypothesis(text, path.score, path.tokens, duration, alignment)

    def _loss(self, batch: SpeechBatch, encoded: Tensor, length: Tensor) -> Tensor:
        examples = self._examples(batch)
        tokens = [torch.tensor([*prompt, *answer]) for prompt, answer in examples]
        padded = nn.utils.rnn.pad_sequence(tokens, batch_first=True, padding_value=self.tokenizer.padding)
        place = torch.arange(1, padded.shape[1])
        mask = place < torch.tensor([[len(each)] for each in tokens])
        if self.use_loss_mask_for_prompt:
            mask &= place >= torch.tensor([[len(prompt)] for prompt, _ in examples])
        padded, mask = padded.to(encoded.device), mask.to(encoded.device)
        hidden = self.decoder(tokens=padded[:, :-1], encoded=encoded, length=length)
        loss: Tensor = self.loss(log_probs=self.classifier(hidden=hidden), labels=padded[:, 1:], mask=mask)
        return loss

    def _examples(self, batch: SpeechBatch) -> list[tuple[list[int], list[int]]]:
        """Return the prompt and the answer of each utterance; what is wrong with one names it."""
        examples = []
        for text, name, fields in zip(batch.texts, batch.names, batch.known(), strict=True):
            try:
                prompt = self.prompt.encode(fields, self.tokenizer)
                examples.append((prompt, self.prompt.encode_answer(text, fields, self.tokenizer)))
            except DataError as error:
                raise DataError(f"{name}: {error.message}", hint=error.hint) from error
        return examples

    @classmethod
    def from_nvidia(cls, config: Mapping[str, Any], artifacts: Mapping[str, Path]) -> dict[str, Any]:
        """Return our configuration for that of NVIDIA's ``EncDecMultiTaskModel``."""
        from nemo_asr.models.nvidia_multitask import multitask_config

        return multitask_config(config)

    def nvidia_weights(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return NVIDIA's weights under our names."""
        from nemo_asr.models.nvidia_multitask import multitask_weights

        return multitask_weights(state, self.state_dict().keys())

    def to_nvidia(self) -> NvidiaModel:
        """Return this model in NVIDIA's words."""
        from nemo_asr.export.nvidia_multitask import multitask_model

        return multitask_model(self)


def pad_short(audio: Tensor, length: Tensor, shortest: int) -> tuple[Tensor, Tensor]:
    """Return ``audio`` (B, T) with silence on both sides where it has fewer than ``shortest`` samples, and the lengths.

    Example:
        >>> audio = torch.tensor([[1.0, 2.0, 3.0], [4.0, 0.0, 0.0]])
        >>> audio, length = pad_short(audio, torch.tensor([3, 1]), shortest=3)
        >>> audio.tolist(), length.tolist()
        ([[1.0, 2.0, 3.0], [0.0, 4.0, 0.0]], [3, 3])
    """
    if not bool((length < shortest).any()):
        return audio, length
    padded = length.clamp(min=shortest)
    audio = nn.functional.pad(audio, (0, max(0, shortest - audio.shape[1])))
    place = torch.arange(audio.shape[1], device=audio.device) - ((padded - length) // 2).unsqueeze(1)
    inside = (place >= 0) & (place < length.unsqueeze(1))
    return torch.where(inside, audio.gather(1, place.clamp(min=0)), 0.0), padded
