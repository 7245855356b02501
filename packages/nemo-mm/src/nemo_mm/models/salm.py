"""Speech-language models: audio and text in, text out (SALM: Chen et al., 2023, arXiv:2310.09424)."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from nemo_core import types as nt
from nemo_core.errors import ArchiveError, ConfigError, DataError
from nemo_mm.models.multimodal import MultimodalLanguageModel
from nemo_mm.models.speech_answers import AnswerScores
from nemo_mm.models.speech_config import SpeechLanguageConfig

if TYPE_CHECKING:
    from nemo_llm.megatron.schedule import Batch
    from nemo_mm.data.speech_chat import SpeechEncoder
    from nemo_mm.models.network import Media

__all__ = ["SpeechLanguageModel"]

_SAID = ("transcript", "transcript_length")


class SpeechLanguageModel(MultimodalLanguageModel):
    """A language model that hears: an acoustic encoder's frames, projected, among the embeddings of its tokens.

    A batch is what :class:`~nemo_mm.data.speech_chat.SpeechChatData` makes. Stages of training are said with ``freeze``
    and ``peft``: ``freeze=[language, reader.encoder]`` trains the projector, ``peft=lora freeze=[reader.encoder]`` also
    a small addition to the language model, nothing at all the whole.

    Validation lets the model answer, greedily, and logs ``val_wer`` and ``val_accuracy`` (answers that are exactly
    right), and with tasks the same for each: ``val_wer_transcribe``, ``val_accuracy_count``.

    Args:
        architecture: A :class:`~nemo_mm.models.speech_config.SpeechLanguageConfig`, or its values; ``language`` and the
            parts of the reader may be left to ``init_from``, and all of it.
        tokenizer: Text to tokens and back.
        peft: Train a small addition to the language model; see :mod:`nemo_llm.peft`.
        freeze: Parts that are not trained: ``language``, ``reader.encoder``, ``reader.projector``, or patterns.
        answer_tokens: Tokens of an answer at most, in validation; 0: do not let the model answer there.
        seed: Of new weights.

    Example:
        >>> import torch
        >>> from nemo_llm.megatron import engine
        >>> model = SpeechLanguageModel({
        ...     "language": {"vocab_size": 65, "hidden_size": 32, "num_layers": 1, "num_heads": 2}, "media_token": 64,
        ...     "preprocessor": {"_target_": "MelSpectrogram", "sample_rate": 8000, "features": 8},
        ...     "encoder": {"_target_": "mm.StridedEncoder", "feat_in": 8, "feat_out": 16}, "stack": 4})
        >>> with engine(), torch.no_grad():
        ...     model.build()
        ...     tokens = torch.tensor([[5, 64, 64, 7]])  # 1,000 samples have two places
        ...     audio = {"audio": torch.randn(1, 1, 1000), "audio_length": torch.tensor([[1000]])}
        ...     model(tokens=tokens, **audio, audio_counts=torch.tensor([1])).shape
        torch.Size([1, 4, 65])
    """

    config_class: ClassVar[type[SpeechLanguageConfig]] = SpeechLanguageConfig

    def __init__(
        self,
        architecture: SpeechLanguageConfig | Mapping[str, Any] | None = None,
        tokenizer: Any = None,
        peft: str | Mapping[str, Any] | None = None,
        freeze: Sequence[str] = (),
        answer_tokens: int = 64,
        seed: int = 0,
    ) -> None:
        waits = isinstance(architecture, Mapping) and bool(_missing(architecture))
        super().__init__(None if waits else architecture, tokenizer, peft, freeze, seed)
        if waits and isinstance(architecture, Mapping):
            self._unfinished = dict(architecture)
        if answer_tokens < 0:
            raise ConfigError(f"model.answer_tokens is {answer_tokens}", hint="give at least 0")
        self.answer_tokens = answer_tokens
        self._answers: dict[tuple[str, int], AnswerScores] = {}

    @classmethod
    def preview_config(cls, architecture: Mapping[str, Any]) -> Any:
        """Return the configuration that a recipe describes; None where a part is left to ``init_from``."""
        return None if _missing(architecture) else super().preview_config(architecture)

    @property
    def input_types(self) -> Mapping[str, nt.NeuralType]:
        """``tokens`` (B, T), ``audio`` (B, M, T), ``audio_length`` (B, M), ``audio_counts`` (B,)."""
        return {
            "tokens": nt.NeuralType(("B", "T"), nt.TokenIndex()),
            "audio": nt.NeuralType(("B", "ANY", "T"), nt.AudioSignal(), optional=True),
            "audio_length": nt.NeuralType(("B", "ANY"), nt.Lengths(), optional=True),
            "audio_counts": nt.NeuralType(("B",), nt.Lengths(), optional=True),
        }

    @property
    def output_types(self) -> Mapping[str, nt.NeuralType]:
        """``logits`` (B, T, V)."""
        return {"logits": nt.NeuralType(("B", "T", "D"), nt.Logits())}

    @nt.typed
    def forward(
        self,
        tokens: Tensor,
        audio: Tensor | None = None,
        audio_length: Tensor | None = None,
        audio_counts: Tensor | None = None,
    ) -> Tensor:
        """Return the logits (B, T, V) of the token after each; for a model that is whole in this process."""
        given = {"tokens": tokens, "audio": audio, "audio_length": audio_length, "audio_counts": audio_counts}
        return self.logits({name: value for name, value in given.items() if value is not None})

    # --------------------------------------------------------------------------------------------------------- answers

    def ask(
        self,
        questions: Sequence[str | Sequence[Mapping[str, Any]]],
        audio: Sequence[Any],
        *,
        max_tokens: int = 128,
        greedy: bool = True,
        batch_size: int = 16,
        resample: bool = True,
        channel: int | str | None = None,
        **options: Any,
    ) -> list[str]:
        """Answer questions about recordings.

        Args:
            questions: Of each: a text, or a conversation (``role`` and ``content``) that the answer goes on. Where
                nobody says where the recordings stand (``<audio>``), it is before the first message of the user.
            audio: For each question its recording, or a list of several: paths, contents of files, or samples (T,) at
                the model's rate.
            max_tokens: Of an answer at most.
            greedy: Always take the likeliest token.
            batch_size: Questions that are computed together.
            resample: If false, a file of another rate than the model's is refused.
            channel: Which channel of files that have several.
            options: More of :func:`nemo_llm.generation.generate`.

        Raises:
            ConfigError: The tokenizer has no chat template.
            DataError: A file cannot be read, or marks and recordings are not as many.
        """
        from nemo_mm.data.speech_chat import collate_audio
        from nemo_mm.models.speech_answers import read_recordings

        if len(questions) != len(audio):
            raise DataError(f"{len(questions)} questions have recordings for {len(audio)}")
        answers: list[str] = []
        rate = self.config.sample_rate
        number = 0
        for start in range(0, len(questions), batch_size):
            prompts, rows = [], []
            for question, sources in zip(questions[start:][:batch_size], audio[start:][:batch_size], strict=True):
                heard = read_recordings(sources, rate, resample=resample, channel=channel)
                number += 1
                prompts.append(self.check_room(question, heard, f"question {number}"))
                rows.append(heard)
            found = self.generate(prompts, collate_audio(rows), max_tokens=max_tokens, greedy=greedy, **options)
            answers += [each.text.strip() for each in found]
        return answers

    def check_room(self, question: str | Sequence[Mapping[str, Any]], heard: Sequence[Any], where: str) -> list[int]:
        """Return the tokens of a question about recordings (T,), at the model's rate.

        Raises:
            DataError: They are more than the model takes, or marks and recordings are not as many; the message begins
                with ``where``.
        """
        from nemo_mm.models.speech_answers import with_marks

        prompt: list[int] = self._encoder.prompt(with_marks(question, len(heard)), heard, where).tolist()
        if len(prompt) >= self.config.max_length:
            seconds = sum(map(len, heard)) / self.config.sample_rate
            longest = self.config.max_length * self.config.samples_per_embedding / self.config.sample_rate
            raise DataError(
                f"{where}: {seconds:.1f} s of audio and the question take {len(prompt)} tokens, and the model takes "
                f"{self.config.max_length}, answer included",
                hint=f"cut it: even without words {longest:.0f} s would be too long",
            )
        return prompt

    def transcribe(self, audio: Sequence[Any], prompt: str = "Transcribe the speech.", **options: Any) -> list[str]:
        """Return what is said in recordings.

        Args:
            audio: Paths, contents of files, or samples (T,) at the model's rate.
            prompt: What the model is asked: what it was trained with.
            options: Of :meth:`ask`.
        """
        return self.ask([prompt] * len(audio), list(audio), **options)

    @cached_property
    def _encoder(self) -> SpeechEncoder:
        from nemo_mm.data.speech_chat import SpeechEncoder

        if self.tokenizer is None:
            raise ConfigError("the model has no tokenizer", hint="give one: tokenizer=load_tokenizer(folder)")
        mark = self.tokenizer.id_to_token(self.config.media_token)
        return SpeechEncoder(self.tokenizer, self.config.samples_per_embedding, media_token=mark)

    # ------------------------------------------------------------------------------------------------------ evaluation

    def setup(self, stage: str) -> None:
        """Check that the data counts embeddings as the reader does."""
        super().setup(stage)
        announced = getattr(getattr(self._data, "encoder", None), "samples_per_embedding", None)
        if announced is not None and announced != self.config.samples_per_embedding:
            raise ConfigError(
                f"data.samples_per_embedding is {announced}, and the model's reader makes an embedding of "
                f"{self.config.samples_per_embedding} samples",
                hint=f"data.samples_per_embedding={self.config.samples_per_embedding}",
            )

    @property
    def whole_entries(self) -> Collection[str]:
        """Names of what the reader is given."""
        return (*super().whole_entries, *_SAID)

    def media_of(self, batch: Batch) -> Media | None:
        """Return what the reader is given: with a CTC loss, in training, the transcripts too."""
        media = super().media_of(batch)
        if media is None or not self.config.ctc_weight or not torch.is_grad_enabled():
            return media
        said = {name: batch[name] for name in _SAID if name in batch}
        if self.training and len(said) < len(_SAID):
            raise ConfigError(
                "model.architecture.ctc_weight: batches do not have what is said in recordings",
                hint="set data.transcripts=true, or ctc_weight=0",
            )
        return dataclasses.replace(media, values={**media.values, **said})

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Train on a batch.

        With a CTC loss, the first pipeline stage also logs it as ``train_ctc``: nats for each token that is said, in
        its last micro-batch.
        """
        loss = super().training_step(batch, batch_idx)
        heard: Any = [getattr(chunk, "reader", None) for chunk in self.chunks]
        for reader in heard:
            if reader is not None and reader.ctc_loss is not None:
                self.log("train_ctc", reader.ctc_loss, batch_size=1)
        return loss

    def on_validation_start(self) -> None:
        """Forget what generation has made of the weights: they are others now."""
        self._language = None

    def on_test_start(self) -> None:
        """Likewise."""
        self._language = None

    def _evaluate(self, stage: str, batch: Batch, index: int) -> None:
        super()._evaluate(stage, batch, index)
        if not self.answer_tokens or self.tokenizer is None:
            return
        scores = self._answers.setdefault((stage, index), AnswerScores(self._kinds(stage, index)))
        asked = [row for row in range(len(batch["tokens"])) if bool(batch["loss_mask"][row].any())]
        if not asked:
            return
        starts = [int(batch["loss_mask"][row].argmax()) for row in asked]
        prompts = [batch["tokens"][row, : start + 1].tolist() for row, start in zip(asked, starts, strict=True)]
        media = {name: batch[name][asked] for name in self.config_class.entries}
        room = max(1, min(self.answer_tokens, self.config.max_length - max(map(len, prompts))))
        found = self.generate(prompts, media, max_tokens=room, greedy=True)
        for row, start, each in zip(asked, starts, found, strict=True):
            scores.add(int(batch["kind"][row]), self._reference(batch, row, start), each.text.strip())

    def _reference(self, batch: Batch, row: int, start: int) -> str:
        """Return the first answer of a row: from ``start`` to where the mask ends."""
        assert self.tokenizer is not None
        mask = batch["loss_mask"][row, start:] > 0
        count = int(mask.long().cumprod(0).sum())
        tokens = [each for each in batch["labels"][row, start : start + count].tolist() if each not in self._ends]
        return self.tokenizer.decode(tokens).strip()

    @property
    def _ends(self) -> frozenset[int]:
        return frozenset(self.tokenizer.stop_ids) if self.tokenizer is not None else frozenset()

    def _log_sums(self, stage: str) -> None:
        super()._log_sums(stage)
        for which, index in [key for key in self._answers if key[0] == stage]:
            scores = self._answers.pop((which, index))
            suffix = f"_{index}" if index else ""
            for name, value in scores.over(self._replicas).items():
                self.log(f"{stage}_{name}{suffix}", value, prog_bar=name == "wer" and not index)

    @property
    def _replicas(self) -> Any:
        """The processes that evaluate other rows."""
        from megatron.core import parallel_state

        return parallel_state.get_data_parallel_group()

    @property
    def _data(self) -> Any:
        return getattr(self.trainer, "datamodule", None)

    def _kinds(self, stage: str, index: int) -> list[str]:
        kinds = getattr(self._data, "kinds", None)
        return [] if kinds is None else list(kinds("validation" if stage == "val" else "test", index))

    # ---------------------------------------------------------------------------------------------------------- weights

    def init_from(self, spec: Any) -> str:
        """Start from weights that are there; see :class:`~nemo_mm.models.multimodal.MultimodalLanguageModel`.

        ``reader`` may also be an archive of a speech recogniser (``.nemo``, ours or NVIDIA's): its encoder is taken,
        and, where the architecture does not say them, what its front end and its encoder are.
        """
        reader = spec.get("reader") if isinstance(spec, Mapping) else None
        if reader is not None and _is_archive(Path(reader)):
            self._adopt(Path(reader))
        return super().init_from(spec)

    def _adopt(self, path: Path) -> None:
        """Take what the architecture does not say of the reader from an archive."""
        unfinished = self._unfinished
        if unfinished is None:
            return
        if set(_missing(unfinished)) - {"language"}:
            from nemo_core.models import restore

            config = restore(path, return_config=True)
            for part in ("preprocessor", "encoder"):
                if part not in config:
                    raise ConfigError(f"init_from.reader: {path} has no {part}", hint="give a speech recogniser")
                unfinished.setdefault(part, config[part])
        if not _missing(unfinished):
            self._config, self._unfinished = self.read_config(unfinished, self.tokenizer), None

    def load_reader(self, readers: list[nn.Module], path: Path) -> None:
        """Read the reader's weights from a model of this kind, or the encoder's from an archive of a recogniser."""
        if not _is_archive(path):
            super().load_reader(readers, path)
            return
        from nemo_core.models import init_from

        for reader in readers:
            try:
                report = init_from(reader, {"path": str(path), "include": ["encoder"]})
            except ConfigError as error:
                raise ConfigError(f"init_from.reader: {path}: {error.message}", hint=error.hint) from error
            wanted = {name for name, _ in reader.named_parameters() if name.startswith("encoder.")}
            if missing := sorted(wanted - set(report.loaded)):
                raise ArchiveError(
                    f"init_from.reader: {path} has another encoder: {missing[0]} does not fit, of {len(missing)}",
                    hint="leave model.architecture.encoder out: it is then taken from there",
                )


def _missing(architecture: Mapping[str, Any]) -> list[str]:
    return [part for part in ("language", "preprocessor", "encoder") if part not in architecture]


def _is_archive(path: Path) -> bool:
    return path.suffix == ".nemo"
