"""The architecture of a language model that is given more than text."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nemo_core.errors import ConfigError
from nemo_llm.models.config import ModelConfig, build_values, plain_values

if TYPE_CHECKING:
    from nemo_llm.models.config import Experts, LatentAttention
    from nemo_llm.tokenizers import Tokenizer
    from nemo_mm.modules.media_reader import MediaReader

__all__ = ["MultimodalConfig"]


@dataclass(frozen=True, kw_only=True)
class MultimodalConfig:
    """Base of architectures: a language model, and the token whose places media take. A subclass adds the reader's.

    Attributes:
        language: The language model.
        media_token: The token whose places embeddings of media take, one each.
        entries: Names of what the reader is given of a batch.
        parts: Classes of the subclass's fields that are dataclasses.
    """

    language: ModelConfig
    media_token: int

    entries: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[Mapping[str, type]] = {}

    def __post_init__(self) -> None:
        if not 0 <= self.media_token < self.language.vocab_size:
            raise ConfigError(
                f"media_token is {self.media_token}, and the language model has {self.language.vocab_size} tokens",
                hint="give a token of the tokenizer, such as <image>",
            )
        if self.language.positions == "learned":
            raise ConfigError(
                "language.positions is learned: places that media take would have no position", hint="set it to rope"
            )

    @abstractmethod
    def make_reader(self) -> MediaReader:
        """Return the reader, with new weights."""

    # ---------------------------------------------------------------------- what layouts ask of any architecture

    @property
    def family(self) -> str:
        """What it is called in messages."""
        return f"{type(self).__name__.removesuffix('Config')} of {self.language.family}"

    @property
    def vocab_size(self) -> int:
        """Tokens that the language model has."""
        return self.language.vocab_size

    @property
    def max_length(self) -> int:
        """Longest sequence, in tokens, media included."""
        return self.language.max_length

    @property
    def hidden_size(self) -> int:
        """Size of the language model's embeddings."""
        return self.language.hidden_size

    @property
    def num_layers(self) -> int:
        """Layers of the language model, which pipelines divide."""
        return self.language.num_layers

    @property
    def num_heads(self) -> int:
        """Heads of the language model, which tensor parallelism divides."""
        return self.language.num_heads

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.language.kv_heads

    @property
    def ffn_size(self) -> int:
        """Inner size of the language model's feed-forward parts."""
        return self.language.ffn_size

    @property
    def experts(self) -> Experts | None:
        """The language model's mixture of experts."""
        return self.language.experts

    @property
    def latent(self) -> LatentAttention | None:
        """The language model's latent attention."""
        return self.language.latent

    @property
    def num_parameters(self) -> int:
        """Number of weights, reader included."""
        import torch

        with torch.device("meta"):
            reader = self.make_reader()
        return self.language.num_parameters + sum(weight.numel() for weight in reader.parameters())

    # ------------------------------------------------------------------------------------------------------ values

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {**plain_values(self, keep=("media_token",)), "language": self.language.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build a configuration of plain values.

        Raises:
            ConfigError: A key is not known, or values do not fit each other.
        """
        found = dict(values)
        if isinstance(found.get("language"), Mapping):
            found["language"] = ModelConfig.from_dict(found["language"])
        for name, kind in cls.parts.items():
            if isinstance(found.get(name), Mapping):
                found[name] = build_values(kind, found[name], f"{name}.")
        missing = [
            each.name
            for each in dataclasses.fields(cls)
            if each.name not in found
            and each.default is dataclasses.MISSING
            and each.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise ConfigError(f"model.architecture.{missing[0]} is not given")
        if not isinstance(found["language"], ModelConfig):
            raise ConfigError(
                f"model.architecture.language is {type(found['language']).__name__}",
                hint="give the values of a language model, or a builder: `nemo components list model_builder`",
            )
        return build_values(cls, found, "model.architecture.")

    @classmethod
    def read(cls, architecture: Any, tokenizer: Tokenizer | None, *, preview: bool = False) -> Self:
        """Return the configuration that ``architecture`` describes.

        Args:
            architecture: One, or the values of one. ``media_token`` may be a text, which the tokenizer knows, and the
                language model's vocabulary be left to the tokenizer.
            tokenizer: If there is one.
            preview: What only a tokenizer can say does not matter.

        Raises:
            ConfigError: It is none, or the tokenizer does not fit.
        """
        if isinstance(architecture, Mapping):
            values = dict(architecture)
            language = values.get("language")
            if isinstance(language, Mapping) and language.get("vocab_size") is None:
                if tokenizer is None and not preview:
                    raise ConfigError("model.architecture.language.vocab_size is not given, and there is no tokenizer")
                values["language"] = {**language, "vocab_size": 1 if tokenizer is None else tokenizer.vocab_size}
            if isinstance(values.get("media_token"), str):
                values["media_token"] = 0 if preview else _number_of(values["media_token"], tokenizer)
            architecture = cls.from_dict(values)
        if not isinstance(architecture, cls):
            raise ConfigError(
                f"model.architecture is a {type(architecture).__name__}", hint=f"give the values of a {cls.__name__}"
            )
        if tokenizer is not None:
            from nemo_llm.tokenizers import check_vocab

            check_vocab(tokenizer, architecture.vocab_size)
        return architecture

    @classmethod
    def whole_entries(cls) -> Collection[str]:
        """Return the names of a batch's entries that are no sequences of tokens."""
        return cls.entries


def _number_of(token: str, tokenizer: Tokenizer | None) -> int:
    if tokenizer is None:
        raise ConfigError(f"model.architecture.media_token is {token!r}, and there is no tokenizer")
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ConfigError(
            f"model.architecture.media_token: the tokenizer has no token {token!r}",
            hint="add it to the tokenizer's special tokens, or name one that it has",
        )
    return number
