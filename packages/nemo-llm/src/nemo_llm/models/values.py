"""What configurations of encoders have in common with those of decoder-only models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from nemo_core.errors import ConfigError
from nemo_core.plugins.nearest import did_you_mean

if TYPE_CHECKING:
    from nemo_llm.tokenizers import Tokenizer

__all__ = ["ConfigValues", "config_of"]

_SIZES = ("family", "vocab_size", "hidden_size", "num_layers", "num_heads", "ffn_size")
Kind = TypeVar("Kind", bound="ConfigValues")


class ConfigValues:
    """Base of a frozen dataclass of plain values, as :class:`~nemo_llm.models.config.ModelConfig` is one of parts."""

    vocab_size: int
    num_heads: int
    experts: None = None  # what layouts ask every architecture for
    latent: None = None

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values: as many as of queries."""
        return self.num_heads

    def padded_vocab(self, tensor: int = 1) -> int:
        """Return the rows of the embedding when it is divided among ``tensor`` processes."""
        return -(-self.vocab_size // tensor) * tensor

    def check_sizes(self, *names: str) -> None:
        """Refuse sizes below 1."""
        for name in names:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}", hint="give a whole number from 1 on")

    def canonical(self: Kind) -> Kind:
        """Return the same architecture without what follows from the rest."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; what has its default is left out, but for the sizes."""
        values = {each.name: (getattr(self, each.name), each.default) for each in dataclasses.fields(self)}  # type: ignore[arg-type]
        return {name: value for name, (value, default) in values.items() if name in _SIZES or value != default}

    @classmethod
    def from_dict(cls: type[Kind], values: Mapping[str, Any]) -> Kind:
        """Build a configuration of plain values.

        Raises:
            ConfigError: A key is not known, or values do not fit each other.
        """
        known = sorted(each.name for each in dataclasses.fields(cls))  # type: ignore[arg-type]
        for key in values:
            if key not in known:
                raise ConfigError(f"{key} is not a part of a {cls.__name__}", hint=did_you_mean(str(key), known))
        return cls(**values)


def config_of(kind: type[Kind], architecture: Any, tokenizer: Tokenizer | None) -> Kind:
    """Return the configuration that ``architecture`` describes, with the tokenizer's vocabulary.

    Args:
        kind: Class of the configuration.
        architecture: One, or the values of one.
        tokenizer: Says ``vocab_size``, where the values do not.

    Raises:
        ConfigError: It is none, or has fewer tokens than the tokenizer.
    """
    if isinstance(architecture, Mapping):
        values = dict(architecture)
        if values.get("vocab_size") is None:
            if tokenizer is None:
                raise ConfigError("model.architecture.vocab_size is not given, and there is no tokenizer")
            values["vocab_size"] = tokenizer.vocab_size
        architecture = kind.from_dict(values)
    if not isinstance(architecture, kind):
        raise ConfigError(
            f"model.architecture is a {type(architecture).__name__}", hint=f"give the values of a {kind.__name__}"
        )
    if tokenizer is not None:
        from nemo_llm.tokenizers import check_vocab

        check_vocab(tokenizer, architecture.vocab_size)
    return architecture
