"""The base of language models that are given images or sounds beside text."""

from __future__ import annotations

import fnmatch
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from nemo_core.errors import ConfigError, DataError
from nemo_core.plugins.nearest import did_you_mean
from nemo_llm.models.config import ModelConfig
from nemo_llm.models.engine_model import EngineModel
from nemo_mm.models.multimodal_config import MultimodalConfig

if TYPE_CHECKING:
    from nemo_llm.generation import Generation, LoadedModel
    from nemo_llm.generation.decoder import Replaced
    from nemo_llm.megatron.layout import Layout
    from nemo_llm.megatron.schedule import Batch
    from nemo_llm.tokenizers import Tokenizer
    from nemo_mm.models.network import Media, MediaGPT

__all__ = ["MultimodalLanguageModel"]


class MultimodalLanguageModel(EngineModel):
    """A language model, and a reader whose embeddings stand in the places of some of its tokens.

    A batch has ``tokens``, ``labels`` and ``loss_mask`` (B, S) as any language model's, in which each medium takes a
    run of ``media_token``, one for each of its embeddings; and what the reader is given, by the names that the
    configuration says (``entries``), with the rows of the batch first: ``pixels`` (B, M, C, H, W) and ``pixel_counts``
    (B,), say. The reader is whole in each process of the first pipeline stage.

    A subclass names its configuration's class (:attr:`config_class`); that makes the reader.

    Args:
        architecture: The configuration, or its values; ``language`` may be left to ``init_from``, and all of it.
        tokenizer: Text to tokens and back.
        peft: Train a small addition to the language model; the reader is trained beside it, where it is not frozen.
        freeze: Parts that are not trained: ``language``, ``reader``, ``reader.encoder``, or patterns of names of
            weights such as ``language.embedding.*``.
        seed: Of new weights.

    Attributes:
        pack: Whether generation lays the language model's weights out a second time for few rows, as
            :func:`~nemo_mm.models.loading.loaded` has it where there is memory for that.
    """

    config_class: ClassVar[type[MultimodalConfig]]

    def __init__(
        self,
        architecture: MultimodalConfig | Mapping[str, Any] | None = None,
        tokenizer: Tokenizer | None = None,
        peft: str | Mapping[str, Any] | None = None,
        freeze: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        waits = isinstance(architecture, Mapping) and "language" not in architecture
        super().__init__(None if waits else architecture, tokenizer, peft, seed)
        self._unfinished = dict(architecture) if waits and isinstance(architecture, Mapping) else None
        self.freeze_patterns = (freeze,) if isinstance(freeze, str) else tuple(freeze)
        self._sources: dict[str, Path] = {}
        self.pack = False
        self._language: LoadedModel | None = None

    # ------------------------------------------------------------------------------------------------------- building

    @classmethod
    def read_config(cls, architecture: Any, tokenizer: Tokenizer | None) -> Any:
        """Return the configuration that ``architecture`` describes, with the tokenizer's vocabulary."""
        return cls.config_class.read(architecture, tokenizer)

    @classmethod
    def preview_config(cls, architecture: Mapping[str, Any]) -> Any:
        """Return the configuration that a recipe describes, before there is a tokenizer; None if it is not whole."""
        if "language" not in architecture:
            return None
        return cls.config_class.read(architecture, None, preview=True)

    def make_chunks(self, layout: Layout, dtype: torch.dtype, options: Mapping[str, Any]) -> list[nn.Module]:
        """Make this process's parts of the model."""
        from nemo_mm.models.network import build_chunks

        return list(build_chunks(self.config, layout, dtype, seed=self.seed, **options))

    def init_from(self, spec: Any) -> str:
        """Start from weights that are there, when the model is built.

        Args:
            spec: A folder of a model of this kind, or of a language model (also one of Hugging Face); or a mapping with
                ``language`` and ``reader``, folders of each: for the reader, a model of this kind whose reader is
                taken, or what :meth:`load_reader` knows.

        Raises:
            ConfigError: There is no such folder, or what is there is of another architecture.
        """
        from nemo_llm.models.sources import read_source

        if isinstance(spec, Mapping):
            for key in spec:
                if key not in ("language", "reader"):
                    raise ConfigError(
                        f"init_from.{key} is no part of the model", hint=did_you_mean(str(key), ["language", "reader"])
                    )
            said = [self._language_from(Path(spec["language"]))] if spec.get("language") else []
            if spec.get("reader"):
                self._sources["reader"] = Path(spec["reader"])
                said.append(f"reader of {spec['reader']}")
            if not said:
                raise ConfigError(
                    "init_from names neither a language model nor a reader", hint="give init_from.language=FOLDER"
                )
            return ", ".join(said)
        if isinstance(spec, (str, Path)) and isinstance(read_source(Path(spec)).config, ModelConfig):
            return self._language_from(Path(spec))
        return super().init_from(spec)

    def _language_from(self, path: Path) -> str:
        from nemo_llm.models.sources import read_source

        source = read_source(path)
        if not isinstance(source.config, ModelConfig):
            raise ConfigError(f"init_from.language: {path} is no language model: {type(source.config).__name__}")
        if self._unfinished is not None:
            self._config = self.read_config({**self._unfinished, "language": source.config}, self.tokenizer)
        elif self.config.language != source.config:
            raise ConfigError(
                f"init_from.language: {path} has another architecture than model.architecture.language",
                hint="leave model.architecture.language out: it is then taken from there",
            )
        self._sources["language"] = source.path
        return f"language model of {source.path} ({source.config.num_parameters:,} weights)"

    def load_sources(self) -> None:
        """Put the weights of ``init_from`` into the parts."""
        super().load_sources()
        chunks: list[Any] = list(self.chunks)
        if "language" in self._sources:
            from nemo_llm.models.sources import load_source

            with _without_reader(chunks):
                load_source(self._sources["language"], chunks, self.config.language)
        if "reader" in self._sources:
            self.load_reader([chunk.reader for chunk in chunks if chunk.reader is not None], self._sources["reader"])

    def load_reader(self, readers: list[nn.Module], path: Path) -> None:
        """Read the reader's weights; all processes call.

        Args:
            readers: The reader of this process, if it has one.
            path: What ``init_from.reader`` says: here the folder of a model of this kind.
        """
        from nemo_llm.megatron.checkpoint import load_model_folder
        from nemo_llm.models.sources import find_folder

        load_model_folder(find_folder(path), [_Alone(reader) for reader in readers], strict=False)

    def choose_trained(self) -> None:
        """Stop training what ``freeze`` names; with ``peft``, train the reader beside the adapters."""
        chunks: list[Any] = list(self.chunks)
        named = [(_name(name), weight) for chunk in chunks for name, weight in chunk.named_parameters()]
        if self.peft is not None:
            for reader in (chunk.reader for chunk in chunks if chunk.reader is not None):
                reader.requires_grad_(True)
                reader.hold_unused()
        for pattern in self.freeze_patterns:
            found = [weight for name, weight in named if _is_part(name, pattern)]
            if not _anywhere(bool(found)):
                parts = sorted({".".join(name.split(".")[:2]) for name, _ in named})
                raise ConfigError(
                    f"model.freeze: {pattern!r} names no weight of this model",
                    hint=did_you_mean(pattern, ["language", "reader", *parts]) or f"its parts are {', '.join(parts)}",
                )
            for weight in found:
                weight.requires_grad_(False)
        for chunk in chunks:
            chunk.train(chunk.training)  # frozen parts of the reader to evaluation mode

    # ---------------------------------------------------------------------------------------------------------- steps

    @property
    def whole_entries(self) -> Collection[str]:
        """Names of what the reader is given."""
        return self.config_class.entries

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Train on a batch; log how many of its rows were left out because a file of theirs is bad, where some were."""
        skipped = int(batch["skipped"].sum()) if "skipped" in batch else 0
        if skipped:
            self.log("skipped_rows", float(skipped), on_step=False, on_epoch=True, reduce_fx="sum", batch_size=1)
        return super().training_step(batch, batch_idx)

    def prepare(self, batch: Batch) -> Batch:
        """Note which embedding stands in which place, while sequences are whole."""
        from nemo_mm.models.network import places_of

        index, total = places_of(batch["tokens"], self.config.media_token)
        return {**batch, "media_index": index, "media_total": total}

    def media_of(self, batch: Batch) -> Media | None:
        """Return what the reader is given of a prepared batch; None where the batch has nothing for it."""
        from nemo_mm.models.network import Media

        names = [name for name in self.config_class.entries if name in batch]
        if not names:
            if bool(batch["media_total"].any()):
                raise DataError(
                    f"a batch has places for media, and no {' or '.join(self.config_class.entries)}",
                    hint="use data of this kind of model",
                )
            return None
        return Media(batch["media_index"], batch["media_total"], {name: batch[name] for name in names})

    def token_losses(self, chunk: nn.Module, batch: Batch) -> Tensor:
        """Run a part of the model; of the last one, return cross-entropies (B, S) in nats where they count."""
        losses: Tensor = chunk(
            batch["tokens"],
            batch.get("position_ids"),
            batch.get("segment_ids"),
            media=self.media_of(batch),
            labels=batch["labels"],
            loss_mask=batch["loss_mask"],
        )
        return losses

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits (B, S, V) of the token after each; for a model that is whole in this process."""
        batch = self.prepare(batch)
        found: Tensor = self.whole()(
            batch["tokens"], batch.get("position_ids"), batch.get("segment_ids"), media=self.media_of(batch)
        )
        return found[..., : self.config.vocab_size]

    def flops_per_token(self, sequence_length: int) -> float:
        """Return the arithmetic of the language model's forward and backward pass, per token of a sequence."""
        from nemo_llm.models.counting import flops_per_token

        return flops_per_token(self.config.language, sequence_length)

    # ----------------------------------------------------------------------------------------------------- generation

    def generate(
        self, prompts: Sequence[Sequence[int]], media: Mapping[str, Tensor] | None = None, **options: Any
    ) -> list[Generation]:
        """Continue prompts that media are part of.

        Args:
            prompts: Tokens, with a run of ``media_token`` where a medium stands.
            media: What the reader is given, by name; the rows are those of the prompts.
            options: Of :func:`nemo_llm.generation.generate`: ``max_tokens``, ``greedy``, ...

        Raises:
            DataError: A prompt has not as many places as its media give embeddings.
        """
        from nemo_llm.generation import generate

        replaced = None if media is None else self.embeddings_of(prompts, media)
        return generate(self._language_part(), prompts, replaced=replaced, **options)

    @torch.no_grad()
    def embeddings_of(self, prompts: Sequence[Sequence[int]], media: Mapping[str, Tensor]) -> list[Replaced]:
        """Return for each prompt the places of its media (K,), and the embeddings (K, H) that stand there."""
        from nemo_llm.generation.decoder import Replaced

        token = self.config.media_token
        places = [torch.tensor([place for place, each in enumerate(row) if each == token]) for row in prompts]
        chunk: Any = self.chunks[0]
        if chunk.reader is None:
            return [Replaced(each, None) for each in places]
        weight = next(chunk.reader.parameters())
        chunk.reader.eval()
        try:
            embeddings, counts = chunk.reader(**{name: value.to(weight.device) for name, value in media.items()})
        finally:
            chunk.train(chunk.training)
        for row, (count, own) in enumerate(zip(counts.tolist(), places, strict=True)):
            if count != len(own):
                raise DataError(
                    f"prompt {row + 1} has {len(own)} places for embeddings of media, and its media give {count}",
                    hint="each image or sound takes as many tokens as the reader makes of it",
                )
        rows = embeddings.split(counts.tolist())
        return [Replaced(each, own) for each, own in zip(places, rows, strict=True)]

    def _language_part(self) -> LoadedModel:
        from nemo_llm.generation import LoadedModel

        if self._language is None or self._language.chunks != list(self.chunks):
            self._language = LoadedModel(
                list(self.chunks), self.config.language, self.tokenizer, Path(), pack=self.pack
            )
        return self._language

    def on_train_start(self) -> None:
        """Forget what generation has made of the weights."""
        self._language = None

    # -------------------------------------------------------------------------------------------------------- archive

    def archive(self, stem: Path) -> Path:
        """Write the model's folder (``model.dist``); all processes take part.

        With ``peft`` the adapters are first added to the weights: a reader that was trained beside them would be of no
        use without.
        """
        if self.peft is None:
            return super().archive(stem)
        from nemo_llm.peft import merge

        merge(list(self.chunks))
        adapter, self.peft = self.peft, None
        try:
            return super().archive(stem)
        finally:
            self.peft = adapter

    @property
    @abstractmethod
    def input_types(self) -> Mapping[str, Any]:
        """What :meth:`forward` takes."""


class _Alone(nn.Module):
    """A reader as a model folder stores it, without the rest of the model."""

    def __init__(self, reader: nn.Module) -> None:
        super().__init__()
        self.reader = reader

    def sharded_state_dict(self, prefix: str = "", sharded_offsets: Any = (), metadata: Any = None) -> Any:
        """Return what the engine reads and writes for each weight."""
        from megatron.core.transformer.utils import sharded_state_dict_default

        return sharded_state_dict_default(self.reader, f"{prefix}reader.", sharded_offsets, metadata)


@contextmanager
def _without_reader(chunks: Sequence[MediaGPT]) -> Iterator[None]:
    """Take the readers out, for what knows language models only."""
    readers = [chunk.reader for chunk in chunks]
    for chunk in chunks:
        chunk.reader = None
    try:
        yield
    finally:
        for chunk, reader in zip(chunks, readers, strict=True):
            chunk.reader = reader


def _name(name: str) -> str:
    return name if name.startswith("reader.") else f"language.{name}"


def _is_part(name: str, pattern: str) -> bool:
    """Return whether a weight belongs to what is named.

    >>> _is_part("reader.encoder.conv.weight", "reader.encoder"), _is_part("reader.encoder2.weight", "reader.encoder")
    (True, False)
    """
    return name.startswith(f"{pattern}.") or fnmatch.fnmatchcase(name, pattern)


def _anywhere(here: bool) -> bool:
    """Return whether it is so in any process."""
    from torch import distributed

    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return here
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, here)
    return any(found)
